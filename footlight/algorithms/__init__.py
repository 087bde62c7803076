"""The algorithms, one file each, and the protocol that they and a user's own satisfy.

Imports no torch by itself, so that `footlight list` answers at once.
"""

import importlib
import re
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

from footlight.algorithms.requirements import require_parts
from footlight.config.suggestions import closest
from footlight.errors import UserError

if TYPE_CHECKING:
    from footlight.algorithms.protocol import AlgorithmClass

    AnyClass = AlgorithmClass[Any, Any, Any]

ALGORITHMS = {
    "a2c": "Synchronous advantage actor-critic; continuous and discrete actions (Mnih et al. 2016)",
    "actor-critic": "One-step actor-critic, an update at every step; continuous and discrete "
    "actions (Sutton & Barto 2018)",
    "crossq": "SAC without target networks, with batch renormalization; continuous actions (Bhatt "
    "et al. 2024)",
    "ddpg": "Off-policy actor-critic with a deterministic policy; continuous actions (Lillicrap "
    "et al. 2015)",
    "droq": "SAC with 20 updates per step, dropout and layer normalization; continuous actions "
    "(Hiraoka et al. 2022)",
    "flashsac": "SAC with residual networks, batch normalization and categorical critics; "
    "continuous actions (arXiv:2604.04539)",
    "impala": "Actor-critic that corrects for older policies by V-trace; continuous and discrete "
    "actions (Espeholt et al. 2018)",
    "ppo": "Proximal policy optimization with a clipped objective; continuous and discrete "
    "actions (Schulman et al. 2017)",
    "redq": "SAC with 20 updates per step and ten critics; continuous actions (Chen et al. 2021)",
    "reinforce": "Monte Carlo policy gradient; continuous and discrete actions (Williams 1992)",
    "replay-actor-critic": "Softmax actor on rollouts, critic Q(s, .) from replay; a single "
    "discrete action",
    "sac": "Maximum-entropy off-policy actor-critic with a stochastic policy; continuous actions "
    "(Haarnoja et al. 2018)",
    "sac-discrete": "Maximum-entropy off-policy actor-critic; a single discrete action "
    "(Christodoulou 2019)",
    "simba": "SAC with residual networks and layer normalization; continuous actions (Lee et al. "
    "2025)",
    "stream-ac": "Streaming actor-critic with traces and no buffer; continuous and discrete "
    "actions (Elsayed et al. 2024)",
    "td3": "DDPG with twin critics, target smoothing and delayed policy updates; continuous "
    "actions (Fujimoto et al. 2018)",
    "td7": "TD3 with learned embeddings, prioritized replay and policy checkpoints; continuous "
    "actions (Fujimoto et al. 2023)",
    "tqc": "SAC with truncated quantile critics; continuous actions (Kuznetsov et al. 2020)",
    "xqc": "SAC with batch normalization, weights of norm 1 and categorical critics; continuous "
    "actions (Palenicek et al. 2026)",
}
"""Name and one line about each algorithm."""

_CLASSES = {
    "a2c": "A2C", "actor-critic": "ActorCritic", "crossq": "SAC", "ddpg": "DDPG", "droq": "SAC",
    "flashsac": "SAC", "impala": "IMPALA", "ppo": "PPO", "redq": "SAC", "reinforce": "REINFORCE",
    "replay-actor-critic": "ReplayActorCritic", "sac": "SAC", "sac-discrete": "SACDiscrete",
    "simba": "SAC", "stream-ac": "StreamAC", "td3": "TD3", "td7": "TD7", "tqc": "SAC",
    "xqc": "SAC",
}  # fmt: skip


def find(algorithm: "str | AnyClass") -> "AnyClass":
    """The class of this name; a class is returned as it is.

    Raises `UserError`, also for a class that lacks a part without a default.
    """
    if not isinstance(algorithm, str):
        require_parts(algorithm)
        return algorithm
    if algorithm not in ALGORITHMS and re.search(r"-v\d+$", algorithm):
        raise UserError(
            f"{algorithm!r} is the id of an environment - the algorithm comes first, then the "
            f"environment - give one of {', '.join(ALGORITHMS)}"
        )
    if algorithm not in ALGORITHMS:
        raise UserError(
            f"unknown algorithm {algorithm!r}{closest(algorithm, ALGORITHMS)} - "
            f"there are {', '.join(ALGORITHMS)}"
        )
    found: AnyClass = getattr(_file_of(algorithm), _CLASSES[algorithm])
    return found


def _file_of(algorithm: str) -> Any:
    return importlib.import_module(f"footlight.algorithms.{algorithm.replace('-', '_')}")


def config_class(algorithm: "str | AnyClass") -> Any:
    """The class of an algorithm's config. Raises `UserError`.

    Of a name, it is the `Config` of its file: `tqc` is the class `SAC` with other defaults.
    """
    found = find(algorithm)
    if isinstance(algorithm, str):
        return _file_of(algorithm).Config
    try:
        kind = get_type_hints(found)["config"]
    except (KeyError, NameError, TypeError) as error:
        raise UserError(
            f"{found!r} does not say what its config is - annotate the field: `config: Config`"
        ) from error
    if not is_dataclass(kind):
        shown = getattr(kind, "__name__", repr(kind))
        raise UserError(
            f"{shown}, the config of {name_of(algorithm)}, is not a dataclass - its fields are the "
            "options of a run - add `@dataclass(frozen=True)` above the class"
        )
    return kind


def name_of(algorithm: "str | AnyClass") -> str:
    """The algorithm's name in files and folders."""
    if isinstance(algorithm, str):
        return algorithm
    name = str(getattr(algorithm, "__name__", type(algorithm).__name__))
    folder, _, file = str(getattr(algorithm, "__module__", "")).rpartition(".")
    word = file.replace("_", "-")
    return word if folder == "footlight.algorithms" and word in ALGORITHMS else name
