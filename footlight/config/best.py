"""`best` in the place of an algorithm: the one with the highest return measured within an hour.

Among those with the same return it is the one that gets there first. Measured on two cores without
a GPU, with presets: `benchmarks/results`, `mujoco.csv` there, and the pages that show them.
"""

from collections.abc import Callable, Mapping
from typing import Any

from footlight.config.fields import describe_value
from footlight.errors import UserError

BEST = "best"
_MEASURED = {
    "CartPole-v1": "ppo",
    "Pendulum-v1": "sac",
    "HalfCheetah-v5": "crossq",
    "Walker2d-v5": "crossq",
    "ALE/Breakout-v5": "a2c",
}  # by environment


def chosen(
    algorithm: Any, environment_name: Callable[[], str]
) -> tuple[Any, Callable[[Mapping[str, Any]], list[str]]]:
    """What to train, and what to print first, given the values of its preset.

    environment_name: called for its name if the algorithm is left to `best`. Raises `UserError`.
    """
    if not (isinstance(algorithm, str) and algorithm == BEST):
        return algorithm, lambda values: []
    environment = environment_name()
    found = recommended(environment)
    return found, lambda values: [_described(environment, found, values)]


def recommended(environment: str) -> str:
    """The algorithm for an environment. Raises `UserError` for one that has not been measured."""
    if environment not in _MEASURED:
        raise UserError(
            f"best has no algorithm for {environment} - measured are {', '.join(_MEASURED)} - name "
            "an algorithm, such as sac for continuous actions or ppo for discrete ones"
        )
    return _MEASURED[environment]


def described_in_words() -> str:
    """What `best` is, for help pages."""
    return (
        "best is the algorithm with the highest return that was measured within an hour on two "
        f"cores: {', '.join(f'{found} on {where}' for where, found in _MEASURED.items())}"
    )


def _described(environment: str, algorithm: str, values: Mapping[str, Any]) -> str:
    """The first line of such a run: the algorithm, and values of its preset."""
    shown = ", ".join(f"{name} {describe_value(value)}" for name, value in values.items())
    return f"best for {environment} within an hour on 2 cores: {algorithm} with {shown}"
