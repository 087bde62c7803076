"""Vector environments: three autoreset modes, one story."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from footlight.environments.episodes import Episode
from footlight.environments.serial import SerialEnvironments
from footlight.environments.vector import VectorEnvironments
from footlight.errors import EnvironmentFault, UserError
from footlight.streams import derived_seed

Counting = type[gymnasium.Env[Any, Any]]
Story = list[list[tuple[Any, ...]]]
MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]
NUM_STEPS = 30


def vector(mode: AutoresetMode, *envs: gymnasium.Env[Any, Any], seed: int = 7) -> VectorEnvironments:
    environments = VectorEnvironments(SyncVectorEnv([lambda env=env: env for env in envs], autoreset_mode=mode), seed, "episode")
    environments.reset()
    return environments


def tell(environments: VectorEnvironments | SerialEnvironments, num_steps: int) -> tuple[Story, list[list[Episode]]]:
    """The transitions and the finished episodes of each environment."""
    story: Story = [[] for _ in range(environments.num_envs)]
    finished: list[list[Episode]] = [[] for _ in story]
    for step in range(num_steps):
        action = np.full((environments.num_envs, 1), 0.01 * step, np.float32)
        before = environments.observation.copy()
        got = environments.step(action)
        assert np.array_equal(got.observation, before)  # what the action was chosen for
        assert np.array_equal(got.action, action)
        for env in range(environments.num_envs):
            if got.valid is None or got.valid[env]:
                seen, successor = tuple(got.observation[env]), tuple(got.next_observation[env])
                story[env].append((seen, float(got.reward[env]), successor, bool(got.terminated[env]), bool(got.truncated[env])))
        for episode in environments.finished:
            finished[episode.env].append(episode)
    return story, finished


def plain_story(env: Any, num_transitions: int) -> list[tuple[Any, ...]]:
    """The loop that everyone writes first."""
    story = []
    observation, _ = env.reset()
    while len(story) < num_transitions:
        successor, reward, terminated, truncated, _ = env.step(None)
        story.append((tuple(observation), reward, tuple(successor), terminated, truncated))
        observation = env.reset()[0] if terminated or truncated else successor
    return story


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_tells_the_same_story(counting_env: Counting, mode: AutoresetMode) -> None:
    environments = vector(mode, *(counting_env(who) for who in range(3)))
    story, finished = tell(environments, NUM_STEPS)
    reference, episodes = tell(serial_of(counting_env), NUM_STEPS)
    for env in range(3):
        assert story[env] == plain_story(counting_env(env), len(story[env]))
        assert finished[env] == episodes[env][: len(finished[env])]
        resets = len(finished[env]) if mode == AutoresetMode.NEXT_STEP else 0  # each costs a step that is no transition
        assert NUM_STEPS - len(story[env]) in (resets, max(0, resets - 1))
        assert story[env] == reference[env][: len(story[env])]
    environments.close()


def serial_of(counting_env: Counting) -> SerialEnvironments:
    environments = SerialEnvironments([counting_env(who) for who in range(3)], 7, "episode")  # type: ignore[call-arg]
    environments.reset()
    return environments


def test_next_step_by_hand(counting_env: Counting) -> None:
    environments = vector(AutoresetMode.NEXT_STEP, counting_env(0), counting_env(1))
    steps = [environments.step(np.zeros((2, 1), np.float32)) for _ in range(5)]
    # Environment 0 terminates at its step 2, so step 3 is its reset; environment 1 at its step 3, so step 4
    valid = [None if step.valid is None else step.valid.tolist() for step in steps]
    assert valid == [None, None, [False, True], [True, False], None]
    assert [step.terminated.tolist() for step in steps[1:4]] == [[True, False], [False, True], [False, False]]
    assert steps[1].next_observation[0].tolist() == [0, 0, 2]
    assert steps[3].observation[0].tolist() == [0, 1, 0]


@pytest.mark.parametrize("mode", MODES)
def test_first_episodes_are_seeded_and_under_disabled_all(counting_env: Counting, mode: AutoresetMode) -> None:
    envs: list[Any] = [counting_env(0), counting_env(0)]
    tell(vector(mode, *envs), 12)
    for env in range(2):
        seeds = envs[env].seeds
        known = len(seeds) if mode == AutoresetMode.DISABLED else 1
        assert len(seeds) >= 4
        assert seeds[:known] == [derived_seed(7, "episode", env, episode) for episode in range(known)]


def test_disabled_tells_what_serial_environments_tell_of_a_random_world() -> None:
    def pendulum() -> gymnasium.Env[Any, Any]:
        return gymnasium.make("Pendulum-v1", max_episode_steps=7)

    serial = SerialEnvironments([pendulum(), pendulum()], 7, "episode")
    serial.reset()
    assert tell(vector(AutoresetMode.DISABLED, pendulum(), pendulum()), 20) == tell(serial, 20)


@pytest.mark.parametrize("mode", MODES)
def test_reset_begins_anew(counting_env: Counting, mode: AutoresetMode) -> None:
    environments = vector(mode, counting_env(0), counting_env(1))
    tell(environments, 2)  # environment 0 has just ended; environment 1 stands in the midst
    environments.reset()
    step = environments.step(np.zeros((2, 1), np.float32))
    assert step.valid is None or step.valid.all()
    assert step.observation[:, 2].tolist() == [0, 0]
    assert environments.book.length.tolist() == [1, 1]
    assert environments.book.total.tolist() == step.reward.tolist()


@pytest.mark.parametrize("mode", [None, "NextStep", "same_step", 1])
def test_an_unknown_mode_is_refused(counting_env: Counting, mode: Any) -> None:
    env = SyncVectorEnv([counting_env])
    env.metadata = {**env.metadata, "autoreset_mode": mode}
    with pytest.raises(UserError, match=rf"autoreset_mode'\] is {mode!r} - it must be a gymnasium.vector.AutoresetMode"):
        VectorEnvironments(env, 0, "episode")
    env.metadata.pop("autoreset_mode")
    with pytest.raises(UserError, match="is None"):
        VectorEnvironments(env, 0, "episode")


def failing(counting_env: Counting, episode: int, step: int, **wrong: Any) -> Any:
    class Failing(counting_env):  # type: ignore[misc, valid-type]
        def here(self) -> bool:
            return (self.episode, self.steps) == (episode, step)

        def observe(self) -> Any:
            return np.array(wrong["observation"], np.float32) if self.here() and "observation" in wrong else super().observe()

        def step(self, action: Any) -> Any:
            observation, reward, *ends = super().step(action)
            if self.here() and "raises" in wrong:
                raise wrong["raises"]
            return observation, wrong.get("reward", reward) if self.here() else reward, *ends

    return Failing(0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("episode", "step"),
    [(0, 1), (0, 2), (1, 0)],  # in the midst, at the end, and the first observation of the next episode
)
def test_a_bad_observation_is_named(counting_env: Counting, mode: AutoresetMode, episode: int, step: int) -> None:
    environments = vector(mode, counting_env(3), failing(counting_env, episode, step, observation=[0, np.nan, 0]))
    with pytest.raises(EnvironmentFault, match=rf"environment 1 failed at step {step} .*observation\[1\] is nan"):
        tell(environments, 4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("step", [1, 2])
def test_a_bad_reward_is_named(counting_env: Counting, mode: AutoresetMode, step: int) -> None:
    environments = vector(mode, counting_env(3), failing(counting_env, 0, step, reward=np.inf))
    seed = derived_seed(7, "episode", 1, 0)
    with pytest.raises(EnvironmentFault, match=f"environment 1 failed at step {step} .* seed {seed}: reward is inf"):
        tell(environments, 4)


@pytest.mark.parametrize("mode", MODES)
def test_an_environment_that_raises_is_a_fault(counting_env: Counting, mode: AutoresetMode) -> None:
    environments = vector(mode, counting_env(3), failing(counting_env, 0, 2, raises=RuntimeError("the joint broke")))
    with pytest.raises(EnvironmentFault, match="RuntimeError: the joint broke"):
        tell(environments, 4)


@pytest.mark.parametrize("mode", MODES)
def test_restore_begins_new_episodes(counting_env: Counting, mode: AutoresetMode) -> None:
    environments = vector(mode, counting_env(0), counting_env(1))
    tell(environments, 4)
    envs: list[Any] = [counting_env(0), counting_env(1)]
    resumed = VectorEnvironments(SyncVectorEnv([lambda env=env: env for env in envs], autoreset_mode=mode), 7, "episode")
    assert resumed.restore(environments.arrays()) == [0, 1]
    assert environments.book.index.tolist() == [1, 1]
    assert [env.seeds for env in envs] == [[derived_seed(7, "episode", env, 2)] for env in range(2)]
    assert resumed.observation.tolist() == [[0, 0, 0], [1, 0, 0]]
