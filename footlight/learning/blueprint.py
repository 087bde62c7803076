"""Blueprint of an algorithm, from which a manifest or another process rebuilds it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import gymnasium
import torch

from footlight.algorithms import config_class, find, name_of
from footlight.algorithms.completion import actions_of, complete
from footlight.algorithms.ordinary_parts import StateHolder
from footlight.algorithms.protocol import Algorithm, AlgorithmClass, Config
from footlight.config.fields import Range, integer
from footlight.config.fields import build as build_config
from footlight.config.names import values_of_config
from footlight.environments.spaces import describe, require_actions
from footlight.errors import UserError
from footlight.learning.execution import Execution
from footlight.networks.flat import Network
from footlight.streams import MAX_SEED, derived_seed
from footlight.types import Spaces
from footlight.user_code import consent
from footlight.user_code.loading import load_checked, load_given

AnyAlgorithm = Algorithm[Any, Any, Any]
"""An algorithm that is chosen by name, so that its own types are not known."""
AnyAlgorithmClass = AlgorithmClass[Any, Any, Any]
# What may be passed to an agent besides the fields of a config, for suggestions
_OPTIONS = (
    "seed", "num_envs", "total_steps", "network", "config", *(f.name for f in fields(Execution))
)  # fmt: skip


@dataclass(frozen=True)
class Blueprint:
    """Everything that determines an algorithm bound to its config and networks."""

    name: str
    algorithm: AnyAlgorithmClass
    config: Any
    spaces: Spaces
    network: Any
    """The user's network; None: the built-in ones."""
    seed: int

    def build(self) -> AnyAlgorithm:
        """Create the algorithm, with the initial weights of the seed.

        Random constants of a user's module are therefore the same as in training. Raises
        `UserError`.
        """
        with torch.random.fork_rng(devices=[]):
            # Seeds the generator of the CPU, and of no GPU
            torch.default_generator.manual_seed(derived_seed(self.seed, "networks"))
            try:
                return self._class.create(self.config, self.spaces, self.network)
            except RuntimeError as error:
                if "allocate" not in str(error):
                    raise
                raise UserError(
                    "the networks do not fit into memory - lower hidden_sizes"
                ) from error

    def build_shapes(self) -> AnyAlgorithm:
        """Create the algorithm on the meta device: its networks have shapes, but no data."""
        with torch.device("meta"):
            return self._class.create(self.config, self.spaces)

    @property
    def _class(self) -> AnyAlgorithmClass:
        """The class with what its author left out."""
        completed: AnyAlgorithmClass = complete(self.algorithm)
        return completed

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
    """Read the blueprint from a manifest.

    algorithm, network: the user's, if the manifest is of one; those of a run from files are loaded
        if the user allows the files.

    Raises `UserError`, also for networks with more parameters than the files hold, so that an
    untrusted manifest cannot make us allocate arbitrary memory.
    """
    code = manifest.get("run", {}).get("code", [])
    algorithm, network = _own("algorithm", algorithm, code), _own("network", network, code)
    named = manifest["algorithm"] if algorithm is None else algorithm
    found, config = find(named), build_config(config_class(named), manifest["config"])
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


def new_blueprint(
    algorithm: str | AnyAlgorithmClass, spaces: tuple[gymnasium.Space[Any], gymnasium.Space[Any]],
    seed: int, config: Config | None, values: Mapping[str, Any],
) -> Blueprint:  # fmt: skip
    """The blueprint of a new agent.

    spaces: of observations and actions. config: an object; None: the defaults. values: fields that
    override it, and a `network`. Raises `UserError`.
    """
    rest = dict(values)
    algorithm, network = given(algorithm, rest.pop("network", None))
    described, found = describe(*spaces), find(algorithm)
    name = name_of(algorithm)
    require_actions(described, actions_of(found), name)
    config_type = config_class(algorithm)
    if config is not None:
        rest = values_of_config(config, config_type, name) | rest
    built = build_config(config_type, rest, _OPTIONS)
    seed = integer("seed", seed, Range(0, MAX_SEED))
    return Blueprint(name, found, built, described, network, seed)


def given(algorithm: Any, network: Any) -> tuple[Any, Any]:
    """An algorithm and a network that were given as objects, names, or FILE.py:NAME, which is
    consent to run the file. Raises `UserError`."""
    return load_given(algorithm, "algorithm", []), load_given(network, "network", [])


def _own(use: str, given: Any, code: list[dict[str, str]]) -> Any:
    """What the user gives, else what a run has recorded in a file; None if neither."""
    if given is None:
        for entry in code:
            if entry["use"] == use:
                return load_checked(consent.recorded(entry, "this"))
    return load_given(given, use, [])


def networks_of(algorithm: AnyAlgorithm) -> Iterator[tuple[str, Network]]:
    """Yield the networks that learn, with the name of their parameters in the state."""
    for name, value in vars(algorithm.networks).items():
        if isinstance(value, Network):
            yield name, value


def num_parameters(algorithm: AnyAlgorithm) -> int:
    """Parameters that learn, targets not counted."""
    if isinstance(algorithm, StateHolder):
        return algorithm.num_parameters
    return sum(network.initial.numel() for _, network in networks_of(algorithm))
