"""How an algorithm is rebuilt: from a folder's manifest, or in another process."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from footlight.algorithms import config_class, find
from footlight.algorithms.protocol import Algorithm, AlgorithmClass
from footlight.config.fields import build as build_config
from footlight.errors import UserError
from footlight.networks.flat import Network
from footlight.streams import derived_seed
from footlight.types import Spaces

AnyAlgorithm = Algorithm[Any, Any, Any]
"""An algorithm that is chosen by name, so that its own types are not known."""
AnyAlgorithmClass = AlgorithmClass[Any, Any, Any]


@dataclass(frozen=True)
class Blueprint:
    """Everything that a bound algorithm is made from."""

    name: str
    algorithm: AnyAlgorithmClass
    config: Any
    spaces: Spaces
    network: Any
    """The user's own network; None: ours."""
    seed: int

    def build(self) -> AnyAlgorithm:
        """The algorithm, whose networks have the initial weights of the seed; constants that a
        user's module draws are those of its training. Raises `UserError`."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derived_seed(self.seed, "networks"))  # no GPU's
            try:
                return self.algorithm.create(self.config, self.spaces, self.network)
            except RuntimeError as error:
                if "allocate" not in str(error):
                    raise
                raise UserError(
                    "the networks do not fit into memory - lower hidden_sizes"
                ) from error

    def build_shapes(self) -> AnyAlgorithm:
        """The algorithm on the meta device: shapes of its own networks, without numbers."""
        with torch.device("meta"):
            return self.algorithm.create(self.config, self.spaces)

    @property
    def network_name(self) -> str | None:
        """The name of the user's network; None if there is none."""
        if self.network is None:
            return None
        name: str = getattr(self.network, "__qualname__", type(self.network).__name__)
        return name


def read_blueprint(
    manifest: dict[str, Any], algorithm: Any = None, network: Any = None
) -> Blueprint:
    """The blueprint of what was saved with this manifest; `algorithm` and `network` are the user's
    own, where it was made with one.

    Raises `UserError`, also where its networks would have more parameters than its files hold:
    what a stranger has written is not given the memory that it asks for.
    """
    found = find(manifest["algorithm"] if algorithm is None else algorithm)
    config = build_config(config_class(found), manifest["config"])
    spaces = Spaces.from_json(manifest["spaces"])
    if manifest.get("network") and network is None:
        raise UserError(
            f"this was trained with the network {manifest['network']!r} - "
            "pass it again as network=..."
        )
    blueprint = Blueprint(
        manifest["algorithm"], found, config, spaces, network, int(manifest["seed"])
    )
    if network is None and algorithm is None:
        shapes = networks_of(blueprint.build_shapes())
        wanted = sum(4 * each.initial.numel() for _, each in shapes)
        if wanted > manifest["files"][manifest["groups"]["agent"]]["bytes"]:
            raise UserError(
                f"its config describes networks of {wanted:,} bytes - its files hold fewer - "
                "restore it from a copy"
            )
    return blueprint


def networks_of(algorithm: AnyAlgorithm) -> Iterator[tuple[str, Network]]:
    """The networks that learn, by the name of their parameters in the state."""
    for name, value in vars(algorithm.networks).items():
        if isinstance(value, Network):
            yield name, value
