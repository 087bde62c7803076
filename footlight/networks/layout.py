"""Where tensors lie in a flat vector."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from footlight.errors import UserError


class Layout:
    """Named tensors as one vector, in the order of their names.

    Matrices lie transposed, as [in, out], and kernels of convolutions channels last. ensemble: the
    tensors have a leading dimension N, which is not among theirs. Integers are exact up to 2**24,
    as the vector is float32.
    """

    def __init__(self, tensors: Mapping[str, Tensor], ensemble: bool) -> None:
        self.shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        self._sizes = [tensor.numel() for tensor in tensors.values()]
        # Two are a matrix, four the kernels of a convolution
        self._dims = [tensor.dim() - ensemble for tensor in tensors.values()]
        if any(tensor.is_meta for tensor in tensors.values()):
            self.initial = torch.empty(sum(self._sizes), device="meta")
        else:
            self.initial = self.flatten({name: tensor.float() for name, tensor in tensors.items()})

    def unflatten(self, vector: Tensor) -> dict[str, Tensor]:
        """Views of a vector by name."""
        views = {}
        parts = torch.split(vector, self._sizes)
        for part, (name, shape), dims in zip(parts, self.shapes.items(), self._dims, strict=True):
            if dims == 2:
                views[name] = part.view(*shape[:-2], shape[-1], shape[-2]).mT
            elif dims == 4:
                views[name] = part.view(*shape[:-3], *shape[-2:], shape[-3]).movedim(-1, -3)
            else:
                views[name] = part.view(shape)
        return views

    def flatten(self, named: Mapping[str, Tensor]) -> Tensor:
        """The inverse of `named`. Raises `UserError` where names or shapes are others."""
        found = {name: tuple(tensor.shape) for name, tensor in named.items()}
        if found != self.shapes:
            wrong = next(n for n in {**self.shapes, **found} if found.get(n) != self.shapes.get(n))
            raise UserError(
                f"parameter {wrong!r} has shape {found.get(wrong, 'missing')} - "
                f"this network expects {self.shapes.get(wrong, 'no such parameter')} - "
                "load it with the network it was saved from"
            )
        dims = zip(self.shapes, self._dims, strict=True)
        return torch.cat([_stored(named[name], count).flatten() for name, count in dims])

    def mask(self, selected: Sequence[bool], device: torch.device | None = None) -> Tensor:
        """A vector with 1 for the tensors that are selected, in their order, and 0 for others.

        device: where to create it, because a CUDA graph cannot copy from the host.
        """
        sized = zip(selected, self._sizes, strict=True)
        return torch.cat(
            [torch.full((size,), float(is_on), device=device) for is_on, size in sized]
        )


def _stored(tensor: Tensor, dims: int) -> Tensor:
    """A tensor in the order in which the vector holds its numbers."""
    if dims == 2:
        return tensor.mT
    return tensor.movedim(-3, -1) if dims == 4 else tensor
