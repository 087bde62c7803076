"""The start-up probe: its verdicts, and that it leaves the training unchanged."""

import itertools
import random
from typing import Any

import faulty
import gymnasium
import numpy as np
import pytest
import torch

from footlight.environments import determinism
from footlight.environments.budget import JUDGED_STEPS, Budget
from footlight.environments.determinism import check_determinism
from footlight.environments.make import configured, make
from footlight.environments.serial import SerialEnvironments


def verdict(source: Any, num_envs: int | None = None, kind: str = "sync") -> str | None:
    environments = make(source, 7, num_envs, vectorization=kind)
    try:
        return check_determinism(source, environments, 7)
    finally:
        environments.close()


@pytest.mark.parametrize(
    "source", ["CartPole-v1", "Pendulum-v1", faulty.Walk, lambda: faulty.Walk()]
)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_deterministic_episodes_are_exact(source: Any, kind: str) -> None:
    assert verdict(source, 2, kind) is None


def test_single_game_is_exact_and_several_are_not() -> None:
    pytest.importorskip("ale_py")
    game = configured("ALE/Breakout-v5")
    assert verdict(game, 1) is None
    assert (
        verdict(game, 2, "native")
        == "the state of a vector environment of class AtariVector cannot be saved"
    )


def test_gymnasiums_vector_cartpole_is_exact_and_other_vector_environments_are_not() -> None:
    assert verdict("CartPole-v1", 8, "native") is None
    assert verdict(gymnasium.make_vec("CartPole-v1", 2), None, "auto") is None
    several = gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="sync")
    assert (
        verdict(several, None, "auto")
        == "the state of a vector environment of class SyncVectorEnv cannot be saved"
    )
    wrapped = gymnasium.wrappers.vector.RecordEpisodeStatistics(
        gymnasium.make_vec("CartPole-v1", 2)
    )
    why = "the state of a vector environment of class RecordEpisodeStatistics cannot be saved"
    assert verdict(wrapped, None, "auto") == why


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            faulty.Nondeterministic,
            "nondeterministic: two episodes with the same seed and actions differ at step 3",
        ),
        (
            faulty.Historic,
            "history-dependent: an episode differs at step 2 in an instance that has lived "
            "through others",
        ),
        ("Raises-v0", "an episode on trial failed at step 4"),
        ("NaN-v0", "an episode on trial failed at step 4"),
    ],
)
def test_reason_is_reported(source: Any, reason: str, kind: str) -> None:
    assert verdict(source, 2, kind) == reason


def test_environment_that_kills_its_process_ends_only_that_process() -> None:
    assert verdict("IsKilled-v0", 2, "async") == "an episode on trial failed at step 4"


def numpy_state() -> list[int]:
    state: Any = np.random.get_state()
    words: list[int] = state[1].tolist()
    return words


def test_use_of_process_wide_generators_is_detected_and_their_state_restored() -> None:
    class Shared(faulty.Walk):
        def observe(self) -> Any:
            return np.array(
                [np.random.normal(), random.random() + torch.rand(()).item()], np.float32
            )

    np.random.seed(1)
    random.seed(1)
    torch.manual_seed(1)
    expected = numpy_state(), random.getstate()
    drawn = torch.get_rng_state()
    assert (
        verdict(Shared)
        == "nondeterministic: two episodes with the same seed and actions differ at step 0"
    )
    assert (numpy_state(), random.getstate()) == expected
    assert torch.equal(torch.get_rng_state(), drawn)


def test_object_with_a_spec_is_made_again() -> None:
    assert verdict(gymnasium.make("Pendulum-v1")) is None
    assert (
        verdict(faulty.Walk())
        == "the environment was given as an object without a spec and cannot be made again"
    )
    assert "vector" in str(verdict(gymnasium.make_vec("Pendulum-v1", 2)))


def test_function_that_returns_one_environment_again_keeps_it_open() -> None:
    class Once(faulty.Walk):
        closed = False

        def close(self) -> None:
            self.closed = True

    env = Once()
    environments = make(lambda: env, 7)
    assert "the training's own" in str(check_determinism(lambda: env, environments, 7))
    assert not env.closed


def test_instances_of_the_probe_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    class Noting(faulty.Walk):
        closed = resets = 0

        def __init__(self) -> None:
            made.append(self)

        def reset(self, **given: Any) -> Any:
            self.resets += 1
            return super().reset(**given)

        def close(self) -> None:
            self.closed += 1

    environments = make(Noting, 7, 2)
    assert isinstance(environments, SerialEnvironments)
    assert check_determinism(Noting, environments, 7) is None
    assert [env.resets > 0 for env in made] == [False, False, True, True]
    assert [env.closed for env in made] == [0, 0, 1, 1]
    assert made[2].resets > made[3].resets + determinism.STEPS_BETWEEN // faulty.LENGTH


def test_different_instances_are_distinguished_from_nondeterminism() -> None:
    made = iter(range(10))

    class Level(faulty.Walk):
        def __init__(self) -> None:
            self.level = next(made)

        def observe(self) -> Any:
            return np.array([self.position, self.level], np.float32)

    assert (
        verdict(Level)
        == "two instances of the environment differ at step 0 of an episode with the same seed "
        "and actions"
    )


def test_normalizing_wrapper_does_not_make_a_run_inexact() -> None:
    assert verdict(lambda: gymnasium.wrappers.NormalizeObservation(faulty.Walk())) is None


def test_slow_environment_is_stepped_only_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    class Robot(faulty.Walk):
        moves = 0

        def step(self, action: Any) -> Any:
            Robot.moves += 1
            return super().step(action)

    ticks = itertools.count(step=0.1)  # seconds; a step takes one tick
    monkeypatch.setattr(
        determinism, "Budget", lambda steps: Budget(steps, 10.0, lambda: next(ticks))
    )
    expected = (
        "unknown: the start-up probe was stopped: 350 steps would take 35 s, 10 s are allowed"
    )
    assert verdict(Robot) == expected
    assert Robot.moves < JUDGED_STEPS
