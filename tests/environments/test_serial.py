"""Serial environments: successors, seeds, faults with positions, restored episodes."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest

from footlight.environments.episodes import Episode
from footlight.environments.make import make
from footlight.environments.serial import SerialEnvironments
from footlight.errors import EnvironmentFault
from footlight.streams import derived_seed
from footlight.types import Transition

Counting = type[gymnasium.Env[Any, Any]]


def serial(*envs: gymnasium.Env[Any, Any], seed: int = 7) -> SerialEnvironments:
    environments = SerialEnvironments(list(envs), seed, "episode")
    environments.reset()
    return environments


def play(environments: SerialEnvironments, num_steps: int) -> list[Transition]:
    action = np.zeros((environments.num_envs, 1), np.float32)
    return [environments.step(action) for _ in range(num_steps)]


def test_transitions_by_hand(counting_env: Counting) -> None:
    environments = serial(counting_env())
    got = [
        (
            s.observation[0, 1:].tolist(),
            s.reward[0],
            s.next_observation[0, 1:].tolist(),
            bool(s.terminated[0]),
            bool(s.truncated[0]),
        )
        for s in play(environments, 6)
    ]
    assert got == [  # (episode, step), reward, the true successor, terminated, truncated
        ([0, 0], 1, [0, 1], False, False),
        ([0, 1], 2, [0, 2], True, False),
        ([1, 0], 11, [1, 1], False, False),
        ([1, 1], 12, [1, 2], False, False),
        ([1, 2], 13, [1, 3], False, True),
        ([2, 0], 21, [2, 1], False, False),
    ]
    assert environments.observation.tolist() == [[0, 2, 1]]


def test_finished_episodes(counting_env: Counting) -> None:
    environments = serial(counting_env(0), counting_env(1))
    finished = []
    for _ in range(5):
        play(environments, 1)
        finished.append(environments.finished)
    first, second = Episode(0, 1 + 2, 2, True), Episode(1, 1 + 2 + 3, 3, True)
    assert finished == [[], [first], [second], [], [Episode(0, 11 + 12 + 13, 3, False)]]


def test_both_flags_are_passed_on(counting_env: Counting) -> None:
    class Both(counting_env):  # type: ignore[misc, valid-type]
        def step(self, action: Any) -> Any:
            observation, reward, _, _, info = super().step(action)
            return observation, reward, True, True, info

    environments = serial(Both())
    step = play(environments, 1)[0]
    assert (step.terminated.tolist(), step.truncated.tolist()) == ([True], [True])
    assert environments.finished == [Episode(0, 1, 1, True)]


def test_transition_is_not_changed_by_later_steps(counting_env: Counting) -> None:
    environments = serial(counting_env())
    steps = play(environments, 4)
    assert [s.observation[0, 1:].tolist() for s in steps] == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert [s.next_observation[0, 1:].tolist() for s in steps] == [[0, 1], [0, 2], [1, 1], [1, 2]]


def test_each_episode_has_its_own_seed(counting_env: Counting) -> None:
    def seeds(seed: int, stream: str = "episode") -> list[list[int]]:
        envs = [counting_env(0), counting_env(0)]
        environments = SerialEnvironments(envs, seed, stream)
        environments.reset()
        play(environments, 12)
        return [env.seeds for env in envs]  # type: ignore[attr-defined]

    first = seeds(7)
    assert first == seeds(7)
    assert first == [
        [derived_seed(7, "episode", env, episode) for episode in range(6)] for env in range(2)
    ]
    everything = {
        seed for run in (first, seeds(8), seeds(7, "evaluation")) for env in run for seed in env
    }
    assert len(everything) == 3 * 2 * 6


def test_reset_discards_the_current_episode(counting_env: Counting) -> None:
    environments = serial(counting_env())
    play(environments, 1)
    assert environments.reset().tolist() == [[0, 1, 0]]
    play(environments, 3)
    assert environments.finished == [
        Episode(0, 11 + 12 + 13, 3, False)
    ]  # nothing of the step before the reset


def test_reset_returns_a_copy(counting_env: Counting) -> None:
    environments = SerialEnvironments([counting_env()], 0, "episode")
    environments.reset()[:] = 99
    assert play(environments, 1)[0].observation.tolist() == [[0, 0, 0]]


def test_reseed_starts_another_stream(counting_env: Counting) -> None:
    env = counting_env()
    environments = serial(env)
    play(environments, 2)
    environments.reseed("evaluation at step 5")
    environments.reset()
    seed = derived_seed(7, "evaluation at step 5", 0, 0)
    assert env.seeds[-1] == seed  # type: ignore[attr-defined]


def test_discrete_actions_are_integers() -> None:
    with_discrete = make("CartPole-v1", 0)
    with_discrete.reset()
    assert with_discrete.step(np.array([1])).next_observation.shape == (1, 4)
    with_discrete.close()


def test_action_modified_by_the_environment_is_recorded_unmodified(counting_env: Counting) -> None:
    class Scaling(counting_env):  # type: ignore[misc, valid-type]
        def step(self, action: Any) -> Any:
            action *= 0.5
            return super().step(action)

    environments = serial(Scaling())
    step = environments.step(np.ones((1, 1), np.float32))
    assert step.action.tolist() == [[1]]
    assert environments.arrays()["actions.0"].tolist() == [[1]]


# Faults


def failing(
    counting_env: Counting,
    what: Callable[[Any], Any],
    episode: int = 1,
    step: int = 3,
    who: int = 1,
) -> Any:
    """A counting environment that does `what` at one step (0: the reset) of one episode."""

    class Failing(counting_env):  # type: ignore[misc, valid-type]
        def reset(self, **options: Any) -> Any:
            given = super().reset(**options)
            return what(given) if (self.episode, step) == (episode, 0) else given

        def step(self, action: Any) -> Any:
            given = super().step(action)
            return what(given) if (self.episode, self.steps) == (episode, step) else given

    return Failing(who)


def raises(given: Any) -> Any:
    raise RuntimeError("the joint broke")


def observed(*values: Any) -> Callable[[Any], Any]:
    return lambda given: (np.array(values), *given[1:])


def earned(value: Any) -> Callable[[Any], Any]:
    return lambda given: (given[0], value, *given[2:])


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (observed(0, np.nan, 1), r"observation\[1\] is nan"),
        (observed(0, 1, -np.inf), r"observation\[2\] is -inf"),
        (observed(0, 1), r"the observation has shape \(2,\), its space says \(3,\)"),
        (lambda given: (None, *given[1:]), r"the observation has shape \(\)"),
        (lambda given: ([[0], [0, 1], 2], *given[1:]), "observation"),  # ragged
        (lambda given: (np.array(["a", "b", "c"]), *given[1:]), "observation"),
        (observed(0, 1e300, 1), r"observation\[1\]"),  # finite, but not as float32
        (earned(np.nan), "reward is nan"),
        (earned(np.inf), "reward is inf"),
        (earned(np.float32(-np.inf)), "reward is -inf"),
        (earned(None), "reward"),
        (earned("much"), "reward"),
        (earned(1e39), "reward"),  # finite, but not as float32
        (raises, r"action \[0\.\]: step raised RuntimeError: the joint broke"),
        (
            lambda given: given[:4],
            r"step returned 4 values \(observation, reward, done, info\), as in Gym",
        ),
    ],
)
def test_fault_names_its_position(
    counting_env: Counting, what: Callable[[Any], Any], message: str
) -> None:
    environments = serial(counting_env(0), failing(counting_env, what))
    play(environments, 3 + 2)  # the whole episode 0 of environment 1, and two steps of episode 1
    seed = derived_seed(7, "episode", 1, 1)
    where = f"environment 1 failed at step 3 of the episode with seed {seed}.*"
    with pytest.raises(EnvironmentFault, match=where + message):
        play(environments, 1)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (observed(np.nan, 0, 0), r"observation\[0\] is nan"),
        (observed(0.0), r"shape \(1,\)"),
        (raises, "reset raised RuntimeError: the joint broke"),
    ],
)
def test_fault_in_reset_is_step_zero(
    counting_env: Counting, what: Callable[[Any], Any], message: str
) -> None:
    environments = serial(failing(counting_env, what, step=0, who=0))
    play(environments, 1)
    seed = derived_seed(7, "episode", 0, 1)
    where = f"environment 0 failed at step 0 of the episode with seed {seed}.*"
    with pytest.raises(EnvironmentFault, match=where + message):
        play(environments, 1)


def test_fault_in_an_image_names_the_pixel(counting_env: Counting) -> None:
    class Image(counting_env):  # type: ignore[misc, valid-type]
        observation_space = gymnasium.spaces.Box(0, 1, (2, 3), np.float32)

        def observe(self) -> Any:
            image = np.zeros((2, 3))
            image[1, 2] = np.nan
            return image

    with pytest.raises(EnvironmentFault, match=r"observation\[1, 2\] is nan"):
        SerialEnvironments([Image()], 0, "episode").reset()


@pytest.mark.parametrize(
    ("step", "num_steps"), [(2, 4), (1, 3), (0, 2)]
)  # within episode 1, its first step, its reset
def test_state_saved_after_a_fault_is_the_one_before_it(
    counting_env: Counting, step: int, num_steps: int
) -> None:
    environments = serial(counting_env(0), failing(counting_env, raises, step=step))
    play(environments, num_steps)
    before = {name: array.copy() for name, array in environments.arrays().items()}
    with pytest.raises(EnvironmentFault):
        play(environments, 1)
    after = environments.arrays()
    assert {name: array.tolist() for name, array in after.items()} == {
        name: array.tolist() for name, array in before.items()
    }


# Going on


def pendulums(num_envs: int, seed: int = 3) -> SerialEnvironments:
    environments = make("Pendulum-v1", seed, num_envs)
    assert isinstance(environments, SerialEnvironments)
    return environments


def test_restore_puts_new_environments_into_the_saved_state() -> None:
    generator = np.random.default_rng(0)
    actions = generator.uniform(-2, 2, (280, 2, 1)).astype(np.float32)
    straight = pendulums(2)
    straight.reset()
    for action in actions[:250]:  # one whole episode of 200 steps, and 50 steps of the next
        straight.step(action)
    saved = {name: array.copy() for name, array in straight.arrays().items()}
    resumed = pendulums(2)
    assert resumed.restore(saved) == []
    assert np.array_equal(resumed.observation, straight.observation)
    for name, array in resumed.tracker.arrays().items():
        assert np.array_equal(array, saved[name]), name
    for action in actions[250:]:
        mine, theirs = resumed.step(action), straight.step(action)
        assert all(np.array_equal(a, b) for a, b in zip(mine[:6], theirs[:6], strict=True))
    assert resumed.tracker.total.tolist() == straight.tracker.total.tolist()


@pytest.mark.parametrize(
    "num_steps", [0, 200, 399, 400]
)  # nothing taken yet; the first of an episode; the last before its end
def test_restore_at_the_start_and_end_of_an_episode(num_steps: int) -> None:
    straight, resumed = pendulums(1), pendulums(1)
    straight.reset()
    play(straight, num_steps)
    assert resumed.restore({name: array.copy() for name, array in straight.arrays().items()}) == []
    for mine, theirs in zip(play(resumed, 3), play(straight, 3), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(mine[:6], theirs[:6], strict=True))
    assert resumed.finished == straight.finished


def test_environment_that_cannot_be_restored_begins_a_new_episode(
    counting_env: Counting,
) -> None:
    saved = serial(counting_env(1), counting_env(2))
    play(saved, 5)
    arrays = saved.arrays()
    fresh = [
        counting_env(1),
        counting_env(3),
    ]  # counts its own resets: environment 0 comes back in episode 0, not in 1
    environments = SerialEnvironments(fresh, 7, "episode")
    assert environments.restore(arrays) == [0, 1]
    seeds = [derived_seed(7, "episode", 0, episode) for episode in (1, 2)]
    assert fresh[0].seeds == seeds  # type: ignore[attr-defined]
    assert environments.observation.tolist() == [[1, 1, 0], [3, 1, 0]]
    assert environments.tracker.length.tolist() == [0, 0]
    assert environments.tracker.total.tolist() == [0, 0]


# Episodes that are left unfinished


def test_abandoned_episodes_are_followed_by_the_next(counting_env: Counting) -> None:
    environments = serial(counting_env(0), counting_env(1))
    play(environments, 1)
    environments.abandon([1])
    assert environments.observation.tolist() == [[0, 0, 1], [1, 1, 0]]  # who, episode, step
    assert environments.tracker.index.tolist() == [0, 1]
    assert environments.tracker.length.tolist() == [1, 0]
    assert list(environments.arrays()) == [
        "episode.index",
        "episode.total",
        "episode.length",
        "observation",
        "actions.0",
    ]
    (step,) = play(environments, 1)
    assert environments.finished == [Episode(0, 1 + 2, 2, True)]
    assert step.next_observation.tolist() == [[0, 0, 2], [1, 1, 1]]


def test_fault_while_abandoning_an_episode_changes_nothing(
    counting_env: Counting,
) -> None:
    environments = serial(counting_env(0), failing(counting_env, raises, step=0))
    play(environments, 1)
    before = {name: array.copy() for name, array in environments.arrays().items()}
    with pytest.raises(EnvironmentFault, match="environment 1 failed at step 0"):
        environments.abandon([0, 1])
    assert before.keys() == environments.arrays().keys()
    for name, array in environments.arrays().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
