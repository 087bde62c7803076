"""Whether an environment keeps Gymnasium's contract: each answer is checked as it is given."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import gymnasium
import numpy as np

from footlight.doctor.findings import Finding, Severity
from footlight.environments.checks import all_finite
from footlight.environments.interface import (
    InterfaceError,
    as_flag,
    old_interface,
    reset_answer,
    step_answer,
)
from footlight.environments.spaces import describe, named_spaces, spaces_of
from footlight.errors import EnvironmentFault, describe_error, place_of
from footlight.signals import is_interruption
from footlight.trees import named_leaves, stray_choice
from footlight.types import Array

OUTSIDE_SHARE = 0.01  # of observations beyond their bounds, from which on it is a warning
GYMNASIUM = "Gymnasium's API; Stable-Baselines3's check_env"
_LARGEST = float(np.finfo(np.float32).max)


class BrokenContractError(Exception):
    """An answer after which playing cannot continue; the violation is noted already."""


@dataclass
class Violation:
    """One kind of violation: the first example, and how often it was seen."""

    title: str
    example: str
    meaning: str
    remedy: str
    severity: Severity = "critical"
    count: int = 0


@dataclass(frozen=True)
class Answer:
    """What a reset or a step returned, as numbers."""

    observation: dict[str, Array]
    """The leaves by name; only those whose numbers are all finite."""
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    says_time_limit: bool = False
    """Whether the info of Gym's old interface calls this end a time limit."""


class Contract:
    """Calls an environment and notes how its answers violate the contract.

    Raises `UserError` for spaces that are not supported.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self.env = env
        observation_space, self.action_space = spaces_of(env)
        self.spaces = describe(observation_space, _bounded(self.action_space))
        self._parts = {
            name: part
            for name, part in named_spaces(observation_space).items()
            if name in self.spaces.observation
        }
        self.violations: dict[str, Violation] = {}
        self.num_calls = 0

    def reset(self, seed: int | None) -> Answer:
        """Begin an episode. Raises `EnvironmentFault`, and `BrokenContractError`."""
        observation, _ = self._called("reset", lambda: reset_answer(self.env.reset(seed=seed)))
        return Answer(self._observation(observation))

    def step(self, action: Any) -> Answer:
        """Take an action. Raises what `reset` raises."""
        observation, reward, terminated, truncated, info = self._called(
            "step", lambda: step_answer(self.env.step(action))
        )
        return Answer(
            self._observation(observation),
            self._reward(reward),
            self._flag("terminated", terminated),
            self._flag("truncated", truncated),
            bool(info.get("TimeLimit.truncated", False)),
        )

    def findings(self) -> Iterator[Finding]:
        """The violations so far."""
        for check, each in self.violations.items():
            outside = check == "observation-outside-space"
            is_rare = outside and each.count < OUTSIDE_SHARE * self.num_calls
            yield Finding(
                check=check,
                severity="note" if is_rare else each.severity,
                title=each.title,
                evidence=f"{each.example}; in {each.count:,} of {self.num_calls:,} calls",
                step=None,
                meaning=each.meaning,
                remedy=each.remedy,
                source=GYMNASIUM,
                confidence=0.95,
            )

    def _note(self, check: str, violation: Violation) -> None:
        self.violations.setdefault(check, violation).count += 1

    def _called(self, method: str, call: Callable[[], Any]) -> Any:
        self.num_calls += 1
        try:
            return call()
        except BaseException as error:  # the user's own code may raise anything, even SystemExit
            if is_interruption(error):
                raise
            self._refuse(method, error)
            raise

    def _refuse(self, method: str, error: BaseException) -> None:
        """Note an exception if it is a violation, else raise it as a fault of the environment."""
        if (violation := old_interface(method, error)) is None:
            what = f"{method} of the environment raised {describe_error(error)}{place_of(error)}"
            raise EnvironmentFault(f"{what} - nothing can be examined - fix it first") from error
        what, remedy = violation.args[0], violation.args[-1]
        self._note(
            "interface",
            Violation(
                f"the interface is not Gymnasium's: {what}",
                f"{method} was called as Gymnasium 1.0 says",
                "No algorithm can be trained in it.",
                remedy,
            ),
        )
        raise BrokenContractError from error

    def _observation(self, observation: Any) -> dict[str, Array]:
        given = named_leaves(observation, self._parts.keys())
        if missing := self._parts.keys() - given.keys():
            self._misfit(f"it lacks the part {min(missing)!r}")
        return {
            name: array
            for name, part in self._parts.items()
            if (array := self._leaf(name, part, given[name])) is not None
        }

    def _leaf(self, name: str, space: gymnasium.Space[Any], value: Any) -> Array | None:
        """One leaf as an array; None if a number in it is not finite."""
        what = f"the observation's part {name!r}" if name else "the observation"
        try:
            array = np.array(value)  # a copy: the environment may reuse its own
        except ValueError as error:
            self._misfit(f"{what} is not an array: {describe_error(error)}")
        if array.shape != (space.shape or ()):
            self._misfit(f"{what} has shape {array.shape}, its space says {space.shape or ()}")
        if array.dtype.kind not in "biuf":
            self._misfit(f"{what} has dtype {array.dtype}, its space says {space.dtype}")
        if array.dtype.kind == "f" and not all_finite(array):
            index, number = _first(array, ~np.isfinite(array))
            self._note(
                "observation-not-finite",
                Violation(
                    f"{what} is not finite: {number}",
                    f"component {index} is {number}",
                    "Training stops at the first such number (exit code 3).",
                    "find the division, logarithm or overflow that makes it",
                ),
            )
            return None
        self._check_dtype(what, space, array)
        self._check_bounds(what, space, array, self.spaces.choices.get(name, ()))
        return array

    def _misfit(self, text: str) -> NoReturn:
        """Note an observation that is none of its space, and end the play."""
        self._note(
            "observation-outside-space",
            Violation(
                "the observation is not in the observation space",
                text,
                "No network can be made for it: training ends with exit code 3.",
                "let observation_space say what reset and step return",
            ),
        )
        raise BrokenContractError

    def _check_dtype(self, what: str, space: gymnasium.Space[Any], array: Array) -> None:
        if array.dtype == space.dtype or not isinstance(space, gymnasium.spaces.Box):
            return
        assert space.dtype is not None
        loses = space.dtype.kind in "iu" and array.dtype.kind == "f"
        self._note(
            "observation-dtype",
            Violation(
                f"the dtype of {what} is wrong: {array.dtype}, its space says {space.dtype}",
                f"{array.dtype} instead of {space.dtype}",
                "footlight stores the dtype of the space, so that numbers are rounded."
                if not loses
                else "Fractions cannot be stored in integers: training ends with exit code 3.",
                f"return .astype({str(space.dtype)!r}), or declare {array.dtype} in the space",
                "critical" if loses else "warning",
            ),
        )

    def _check_bounds(
        self, what: str, space: gymnasium.Space[Any], array: Array, choices: tuple[range, ...]
    ) -> None:
        if isinstance(space, gymnasium.spaces.Box):
            outside = (array < space.low) | (array > space.high)
            if not outside.any():
                return
            index, number = _first(array, outside)
            low, high = (_first(bound, outside)[1] for bound in (space.low, space.high))
            text = f"component {index} is {number:.4g}, its bounds are {low:.4g} and {high:.4g}"
        elif array.dtype.kind != "f" and stray_choice(array, choices) is None:
            return
        else:
            text = f"{array.tolist()!r:.60} is not in {space!r:.60}"
        is_box = isinstance(space, gymnasium.spaces.Box)
        self._note(
            "observation-outside-space",
            Violation(
                f"{what} is not in the observation space",
                text,
                "Bounds that do not hold mislead whatever rescales by them."
                if is_box
                else "A choice that is not among its options ends a training (exit code 3).",
                "correct the bounds of observation_space, or the observation",
                "warning" if is_box else "critical",
            ),
        )

    def _reward(self, reward: Any) -> float:
        is_scalar = isinstance(reward, int | float | np.number | np.bool_)
        is_array = isinstance(reward, np.ndarray) and reward.dtype.kind in "biuf"
        if not is_scalar:
            shown = f"an array of shape {reward.shape}" if is_array else f"{reward!r:.40}"
            self._note(
                "reward-not-a-scalar",
                Violation(
                    f"the reward is not a scalar: {shown}",
                    f"step returned {shown}",
                    "A return is the sum of single numbers; of several, it is unclear which.",
                    "return float(reward), or the sum of its parts",
                ),
            )
            if not is_array or reward.size != 1:
                raise BrokenContractError
        number = float(np.asarray(reward).reshape(())[()])
        if not abs(number) <= _LARGEST:
            self._note(
                "reward-not-finite",
                Violation(
                    f"the reward is not finite: {number}",
                    f"step returned the reward {number}",
                    "Training stops at the first such number (exit code 3).",
                    "find the division, logarithm or overflow that makes it",
                ),
            )
            return 0.0
        return number

    def _flag(self, name: str, value: Any) -> bool:
        if isinstance(value, bool | np.bool_):
            return bool(value)
        try:
            flag = as_flag(name, value)
        except InterfaceError as error:
            self._refuse("step", error)
            raise
        shown = f"{type(value).__name__} {value!r:.30}"
        self._note(
            f"{name}-not-a-bool",
            Violation(
                f"{name} is not a bool: {shown}",
                f"step returned {shown} as {name}",
                "footlight takes it for one; other libraries may not.",
                f"return bool({name})",
                "warning",
            ),
        )
        return flag


def _bounded(space: gymnasium.Space[Any]) -> gymnasium.Space[Any]:
    """The space with bounds that can be described: infinite ones are a finding, and no error."""
    if isinstance(space, gymnasium.spaces.Box) and not space.is_bounded():
        return gymnasium.spaces.Box(-1, 1, space.shape)
    return space


def _first(array: Array, mask: Array) -> tuple[str, Any]:
    """The place of the first component in a mask, as text, and the number there."""
    index = tuple(np.argwhere(mask)[0].tolist())
    return f"[{', '.join(map(str, index))}]", array[index]
