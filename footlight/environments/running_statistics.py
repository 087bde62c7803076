"""Running statistics of wrappers, such as `NormalizeObservation`.

They change what an observation means as training proceeds. A second instance is the training
environment only if it has the same statistics, and those must not change during evaluation.
"""

import copy
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper

from footlight.environments.wrappers import HasEnvs, InWorker, chain, first_instance, instances
from footlight.types import Array

_MOMENTS = "mean", "var", "count"
_UPDATES = "update", "update_from_moments"
_PREFIX = "statistics."


def statistics_wrappers(env: Any) -> list[str]:
    """Names of the wrappers that have running statistics."""
    if isinstance(env, InWorker):
        return list(env.call_remote("statistics_wrappers"))
    return [type(layer).__name__ for layer, _ in _with_moments(env)]


def remedy(names: str) -> str:
    """The option of footlight that replaces wrappers of these names."""
    return "normalize_rewards true" if names == "NormalizeReward" else "normalize_observations true"


def why_not_shared(training: Any, other: Any) -> str | None:
    """Why running statistics cannot be shared with another instance; None if they can."""
    if set(read_statistics(training)) == set(read_statistics(other)):
        return None
    names = ", ".join(statistics_wrappers(other) or statistics_wrappers(training)) or "its wrappers"
    return (
        f"the running statistics of {names} cannot be shared with another instance - leave the "
        f"wrapper out and use {remedy(names)}"
    )


def read_statistics(env: Any, row: int = 0) -> dict[str, Array]:
    """Running statistics of all wrappers, and the other arrays that these wrappers have.

    Wrappers are identified by their position: two instances made in the same way have the same
    names.
    """
    if isinstance(env, InWorker):
        return dict(env.call_remote("read_statistics"))
    found: dict[str, Array] = {}
    for position, (layer, moments) in enumerate(_with_moments(env, row)):
        for name, value in moments.items():
            found |= {
                f"{position}.{name}.{part}": np.array(getattr(value, part)) for part in _MOMENTS
            }
        found |= {f"{position}.{name}": np.array(value) for name, value in _arrays(layer).items()}
    return found


def write_statistics(
    env: Any, statistics: Mapping[str, Array], row: int = 0, frozen: bool = False
) -> None:
    """Write statistics of `read_statistics` to the wrappers.

    frozen: whether the wrappers stop updating them.

    Each wrapper receives copies, and so stops sharing its statistics with other instances.
    """
    if isinstance(env, InWorker):
        env.call_remote("write_statistics", dict(statistics), row, frozen)
        return
    for position, (layer, moments) in enumerate(_with_moments(env, row)):
        for name, value in moments.items():
            own = copy.deepcopy(value)
            for update in _UPDATES:
                vars(own).pop(update, None)
                if frozen and hasattr(own, update):
                    setattr(own, update, _ignore)
            for part in _MOMENTS:
                if (saved := statistics.get(f"{position}.{name}.{part}")) is not None:
                    setattr(own, part, _like(getattr(own, part), saved))
            setattr(layer, name, own)
        for name in _arrays(layer):
            saved = statistics.get(f"{position}.{name}")
            if saved is not None and _fits(layer, name, saved):
                setattr(layer, name, np.array(saved))


def freeze_statistics(env: Any) -> None:
    """Stop updating the statistics of an instance that is not trained in."""
    write_statistics(env, {}, frozen=True)


def saved_statistics(environments: Any) -> dict[str, Array]:
    """The statistics of all environments of a training, as a checkpoint holds them."""
    saved: dict[str, Array] = {}
    for env, (instance, row) in enumerate(instances(environments)):
        statistics = read_statistics(instance, row)
        if not statistics and isinstance(instance, VectorEnv) and not _has_rows(instance):
            break  # the same holds for the other rows, of which there may be thousands
        saved |= {f"{_PREFIX}{env}.{name}": array for name, array in statistics.items()}
    return saved


def read_start(env: Any) -> tuple[dict[str, Array], bool]:
    """The statistics of an instance, and whether they are frozen; none of a lost process."""
    if isinstance(env, InWorker):
        return env.call_remote("read_start") or ({}, False)
    values = [value for _, moments in _with_moments(env) for value in moments.values()]
    return read_statistics(env), any(vars(each).get("update") is _ignore for each in values)


def by_environment(
    arrays: Mapping[str, Array], prefix: str = _PREFIX
) -> dict[int, dict[str, Array]]:
    """The statistics in the arrays of a checkpoint, by environment."""
    found: dict[int, dict[str, Array]] = {}
    for name, array in arrays.items():
        number, _, rest = name.removeprefix(prefix).partition(".")
        if name.startswith(prefix) and number.isdecimal():
            found.setdefault(int(number), {})[rest] = array
    return found


def statistics_of(arrays: Mapping[str, Array], env: int) -> dict[str, Array]:
    """The statistics of one environment in the arrays of a checkpoint."""
    return by_environment(arrays).get(env, {})


def restore_statistics(
    environments: Any,
    arrays: Mapping[str, Array],
    frozen: bool = False,
    envs: Collection[int] | None = None,
) -> None:
    """Give the environments of a training the statistics in the arrays of a checkpoint.

    envs: only these; None: all. One whose own were lost with its process gets those of another.
    """
    saved = by_environment(arrays)
    if saved:
        for env, (instance, row) in enumerate(instances(environments)):
            if envs is None or env in envs:
                write_statistics(instance, saved.get(env, saved[min(saved)]), row, frozen)


def take_over_statistics(environments: Any, arrays: Mapping[str, Array]) -> bool:
    """Copy running means, variances and counts from another run's checkpoint.

    Returns False, changing nothing, if the wrappers differ. State of the other run's last episodes
    is not copied.
    """
    moments = tuple(f".{part}" for part in _MOMENTS)
    saved = {name: array for name, array in arrays.items() if name.endswith(moments)}
    own = {name for name in read_statistics(first_instance(environments)) if name.endswith(moments)}
    if own != set(next(iter(by_environment(saved).values()), {})):
        return False
    restore_statistics(environments, saved)
    return True


def share_statistics(training: Any, other: Any) -> None:
    """Copy the statistics of the training's first environment to `other`, frozen."""
    if statistics_wrappers(first_instance(other)):
        statistics = read_statistics(first_instance(training))
        for instance, row in instances(other):
            write_statistics(instance, statistics, row, frozen=True)


def _has_rows(env: VectorEnv[Any, Any, Any]) -> bool:
    """Whether it consists of single environments, which may differ."""
    return any(isinstance(layer, HasEnvs) for layer in chain(env))


def _with_moments(env: Any, row: int = 0) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Wrappers with running statistics: any that have a mean, a variance, a count and an update."""
    for layer in chain(env, row):
        if isinstance(layer, gymnasium.Wrapper | gymnasium.vector.VectorWrapper):
            moments = {name: value for name, value in vars(layer).items() if is_moments(value)}
            if moments:
                yield layer, moments


def is_moments(value: Any) -> bool:
    """Whether it has a mean, a variance, a count and an update."""
    return (
        hasattr(value, "__dict__")
        and all(
            isinstance(getattr(value, part, None), float | int | np.ndarray | np.number)
            for part in _MOMENTS
        )
        and callable(getattr(value, "update", None))
    )


def _like(value: Any, saved: Array) -> Any:
    """The saved value in the type of `value`: a Python number, a NumPy number or an array."""
    if isinstance(value, np.ndarray):
        return np.array(saved)
    return saved[()] if isinstance(value, np.generic) else saved.item()


def _fits(layer: Any, name: str, saved: Array) -> bool:
    """Whether an array is not one of the rows of a vector environment with another number of them,
    such as the returns so far in `NormalizeReward`."""
    return not isinstance(layer, VectorWrapper) or saved.shape == vars(layer)[name].shape


def _arrays(layer: Any) -> dict[str, Array]:
    return {
        name: value
        for name, value in vars(layer).items()
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
    }


def _ignore(*given: Any, **named: Any) -> None:
    """Replaces an update method that is frozen."""
