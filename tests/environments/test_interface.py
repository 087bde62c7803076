"""Gym's old interface and small slips in an environment, as the error that a user reads."""

import re
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit

from footlight.environments.interface import as_flag
from footlight.environments.serial import SerialEnvironments
from footlight.environments.vector import VectorEnvironments
from footlight.environments.workers import AsyncEnvironments, Supervision
from footlight.errors import EnvironmentFault

ACTION = np.zeros((1, 1), np.float32)


class Right(gymnasium.Env[Any, Any]):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        return np.zeros(2, np.float32), 0.0, False, False, {}


class FourValues(Right):
    def step(self, action: Any) -> Any:
        return np.zeros(2, np.float32), 0.0, False, {}


class ResetObservation(Right):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.zeros(2, np.float32)


class ResetPairOfFloats(Right):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return 0.0, 0.0


class NoSeed(Right):
    def reset(self) -> Any:  # type: ignore[override]
        return super().reset()


class ResetNone(Right):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return None


class ResetInfoNone(Right):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.zeros(2, np.float32), None


class StepInfoNone(Right):
    def step(self, action: Any) -> Any:
        return *super().step(action)[:4], None


class StepInfoList(Right):
    def step(self, action: Any) -> Any:
        return *super().step(action)[:4], []


class StepNone(Right):
    def step(self, action: Any) -> Any:
        return None


class SixValues(Right):
    def step(self, action: Any) -> Any:
        return *super().step(action), 1


class RewardNone(Right):
    def step(self, action: Any) -> Any:
        return np.zeros(2, np.float32), None, False, False, {}


class FlagArray(Right):
    def step(self, action: Any) -> Any:
        return np.zeros(2, np.float32), 0.0, np.array([True, False]), False, {}


def reset_and_step(environments: SerialEnvironments) -> None:
    environments.reset()
    environments.step(ACTION)


CASES = [
    (
        FourValues,
        "step returned 4 values (observation, reward, done, info), as in Gym's interface before "
        "version 0.26 - return ",
    ),
    (
        ResetObservation,
        "reset returned an array of shape (2,) alone, as in Gym's interface before version 0.26 - "
        "return ",
    ),
    (
        ResetPairOfFloats,
        "reset returned a tuple alone, as in Gym's interface before version 0.26 - return ",
    ),
    (
        NoSeed,
        "reset takes no seed, as in Gym's interface before version 0.26 - define reset(self, *, "
        "seed=None, options=None)",
    ),
    (ResetNone, "reset returned None - return observation, info"),
    (ResetInfoNone, "reset returned None as its info - return a dict"),
    (StepInfoNone, "step returned None as its info - return a dict"),
    (StepInfoList, "step returned a list as its info - return a dict"),
    (StepNone, "step returned None - return observation, reward, terminated, truncated, info"),
    (SixValues, "step returned 6 values instead of 5 - return observation"),
    (RewardNone, "the reward is None, which is not a number"),
    (FlagArray, "step returned an array of shape (2,) as terminated - return True or False"),
]


@pytest.mark.parametrize(("kind", "message"), CASES, ids=[kind.__name__ for kind, _ in CASES])
def test_violation_is_reported(kind: type[Right], message: str) -> None:
    with pytest.raises(EnvironmentFault, match=re.escape(message)):
        reset_and_step(SerialEnvironments([kind()], 0, "episode"))


@pytest.mark.parametrize(("kind", "message"), [CASES[0], CASES[1], CASES[3]])
def test_violation_is_reported_from_a_worker(kind: type[Right], message: str) -> None:
    environments = AsyncEnvironments(kind, 1, 0, "episode", Supervision(60.0))
    try:
        with pytest.raises(EnvironmentFault, match=re.escape(message)):
            reset_and_step(environments)
    finally:
        environments.close()


def test_violation_is_reported_through_a_gymnasium_wrapper() -> None:
    environments = SerialEnvironments([TimeLimit(FourValues(), 10)], 0, "episode")
    environments.reset()
    with pytest.raises(
        EnvironmentFault,
        match=r"step returned 4 values, as in Gym's interface before version 0\.26",
    ):
        environments.step(ACTION)


def test_unpacking_error_in_the_environments_own_code_is_not_a_violation() -> None:
    class Unpacks(Right):
        def step(self, action: Any) -> Any:
            _first, _second, _third, _fourth, _fifth = (1, 2, 3, 4)  # type: ignore[misc]

    environments = SerialEnvironments([Unpacks()], 0, "episode")
    environments.reset()
    with pytest.raises(
        EnvironmentFault,
        match=r"step raised ValueError: not enough values to unpack \(expected 5, got 4\)",
    ):
        environments.step(ACTION)


def test_old_interface_of_a_vector_environment_is_reported() -> None:
    class Old(gymnasium.vector.SyncVectorEnv):
        def step(self, actions: Any) -> Any:
            return super().step(actions)[:4]

    environments = VectorEnvironments(Old([Right, Right]), 0, "episode")
    environments.reset()
    with pytest.raises(
        EnvironmentFault,
        match=r"step returned 4 values .*as in Gym's interface before version 0\.26",
    ):
        environments.step(np.zeros((2, 1), np.float32))


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        (True, True),
        (np.False_, False),
        (1, True),
        (0.0, False),
        (np.array([True]), True),
        (np.array(0), False),
    ],
)
def test_single_values_of_any_type_are_flags(value: Any, flag: bool) -> None:
    assert as_flag("terminated", value) is flag
