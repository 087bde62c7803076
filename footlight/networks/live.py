"""A module whose parameters stay where they are, and are changed there by an optimizer."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from footlight.errors import UserError, first_line


class LiveNetwork:
    """A user's own module, whose parameters an optimizer changes: what acts, and what is saved of
    it. It stands where other algorithms have a `Network`."""

    on_images = False
    initial_statistics = None

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    @property
    def initial(self) -> Tensor:
        """A tensor of the size of the module's state."""
        parts = [part.nbytes for part in self.module.state_dict().values()]
        return torch.empty(2 * sum(parts), dtype=torch.uint8, device="meta")

    @property
    def marker(self) -> Tensor:
        """Stands for the parameters, which are in the module: an empty tensor on their device."""
        parameters = (part.device for part in self.module.parameters())
        return torch.empty(0, device=next(parameters, torch.device("cpu")))

    def named_state(self, *state: object) -> dict[str, Tensor]:
        """The module's `state_dict`; numbers of fewer than 32 bits as float32."""
        return {
            name: part.float() if part.is_floating_point() and part.dtype.itemsize < 4 else part
            for name, part in self.module.state_dict().items()
        }

    def flatten_state(self, named: Mapping[str, Tensor]) -> tuple[Tensor, None]:
        """Put what `named_state` returned into the module."""
        try:
            self.module.load_state_dict(dict(named))
        except RuntimeError as error:
            why = first_line(error)
            raise UserError(
                f"the module is another one than was saved - {why} - give the same class"
            ) from error
        return self.marker, None

    def to_module(self, *state: object) -> nn.Module:
        """A copy of the module."""
        return copy.deepcopy(self.module).requires_grad_(False).eval()
