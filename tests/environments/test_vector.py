"""Vector environments: the three autoreset modes give the same transitions."""

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

import footlight
from footlight.environments.episodes import Episode
from footlight.environments.remote import RemoteEnv
from footlight.environments.serial import SerialEnvironments
from footlight.environments.vector import VectorEnvironments
from footlight.errors import EnvironmentFault
from footlight.streams import derived_seed

Counting = type[gymnasium.Env[Any, Any]]
Story = list[list[tuple[Any, ...]]]
MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]
NUM_STEPS = 30


def vector(
    mode: AutoresetMode, *envs: gymnasium.Env[Any, Any], seed: int = 7
) -> VectorEnvironments:
    environments = VectorEnvironments(
        SyncVectorEnv([lambda env=env: env for env in envs], autoreset_mode=mode), seed, "episode"
    )
    environments.reset()
    return environments


def tell(
    environments: VectorEnvironments | SerialEnvironments, num_steps: int
) -> tuple[Story, list[list[Episode]]]:
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
                story[env].append(
                    (
                        seen,
                        float(got.reward[env]),
                        successor,
                        bool(got.terminated[env]),
                        bool(got.truncated[env]),
                    )
                )
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
def test_every_mode_gives_the_same_transitions(counting_env: Counting, mode: AutoresetMode) -> None:
    environments = vector(mode, *(counting_env(who) for who in range(3)))
    story, finished = tell(environments, NUM_STEPS)
    reference, episodes = tell(serial_of(counting_env), NUM_STEPS)
    for env in range(3):
        assert story[env] == plain_story(counting_env(env), len(story[env]))
        assert finished[env] == episodes[env][: len(finished[env])]
        resets = (
            len(finished[env]) if mode == AutoresetMode.NEXT_STEP else 0
        )  # each costs a step that is no transition
        assert NUM_STEPS - len(story[env]) in (resets, max(0, resets - 1))
        assert story[env] == reference[env][: len(story[env])]
    environments.close()


def serial_of(counting_env: Counting) -> SerialEnvironments:
    make_it: Any = counting_env
    environments = SerialEnvironments([make_it(who) for who in range(3)], 7, "episode")
    environments.reset()
    return environments


class Scripted(gymnasium.Env[Any, Any]):
    """Episodes end as the script says; observations and rewards depend on all their actions."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    script = (
        (1, "terminated"),
        (3, "truncated"),
        (1, "truncated"),
        (2, "both"),
        (1, "both"),
        (4, "terminated"),
        (1, "terminated"),
    )

    def __init__(self, who: int) -> None:
        self.who, self.episode = who, -1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        self.episode, self.steps, self.sum = self.episode + 1, 0, 0.1 * self.who
        return self.observe(), {"first": self.episode}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps, self.sum = self.steps + 1, 0.9 * self.sum + float(action[0])
        length, end = self.script[(self.episode + self.who) % len(self.script)]
        last = self.steps == length
        return (
            self.observe(),
            self.sum + self.steps,
            last and end != "truncated",
            last and end != "terminated",
            {"at": self.steps},
        )

    def observe(self) -> Any:
        return np.array([self.episode, self.steps, self.sum], np.float32)


def policy_story(environments: VectorEnvironments | SerialEnvironments, num_steps: int) -> Story:
    """The valid transitions of each environment under a policy that depends on observations.

    Steps that only reset thus change no action.
    """
    story: Story = [[] for _ in range(environments.num_envs)]
    for _ in range(num_steps):
        action = np.sin(environments.observation.sum(1, keepdims=True)).astype(np.float32)
        got = environments.step(action)
        for env in range(environments.num_envs):
            if got.valid is None or got.valid[env]:
                parts = (
                    got.observation,
                    got.action,
                    got.reward,
                    got.next_observation,
                    got.terminated,
                    got.truncated,
                )
                story[env].append(tuple(part[env].tolist() for part in parts))
    return story


@pytest.mark.parametrize("kind", [*MODES, "async"])
def test_all_modes_give_the_same_transitions_whatever_the_ends(kind: Any) -> None:
    num_envs, num_steps = (
        7,
        120,
    )  # as many as the script is long: at each step some end in each of its ways
    reference = SerialEnvironments([Scripted(who) for who in range(num_envs)], 7, "episode")
    reference.reset()
    expected = policy_story(reference, num_steps)
    if kind == "async":
        remote = [RemoteEnv(partial(Scripted, who)) for who in range(num_envs)]
        for env in remote:
            env.learn_spaces()
        environments: Any = SerialEnvironments(list(remote), 7, "episode")
        environments.reset()
    else:
        environments = vector(kind, *(Scripted(who) for who in range(num_envs)))
    story = policy_story(environments, num_steps)
    for env in range(num_envs):
        assert len(story[env]) >= num_steps // 2
        assert story[env] == expected[env][: len(story[env])]
        if kind != AutoresetMode.NEXT_STEP:
            assert len(story[env]) == num_steps
        ends = {(terminated, truncated) for *_, terminated, truncated in story[env]}
        assert ends == {(False, False), (True, False), (False, True), (True, True)}
    environments.close()


@pytest.mark.parametrize("mode", MODES)
def test_environment_may_reuse_its_arrays(mode: AutoresetMode) -> None:
    def modes(copy: bool) -> VectorEnvironments:
        made = SyncVectorEnv(
            [lambda who=who: Scripted(who) for who in range(3)], copy=copy, autoreset_mode=mode
        )  # type: ignore[misc]
        environments = VectorEnvironments(made, 7, "episode")
        environments.reset()
        return environments

    reusing, copying = modes(False), modes(True)
    steps = [
        (reusing.step(action), copying.step(action))
        for action in np.linspace(-1, 1, 60, dtype=np.float32).reshape(20, 3, 1)
    ]
    for mine, theirs in steps:
        assert all(np.array_equal(a, b) for a, b in zip(mine[:6], theirs[:6], strict=True))


def test_next_step_by_hand(counting_env: Counting) -> None:
    environments = vector(AutoresetMode.NEXT_STEP, counting_env(0), counting_env(1))
    steps = [environments.step(np.zeros((2, 1), np.float32)) for _ in range(5)]
    # Environment 0 terminates at its step 2, so step 3 is its reset; environment 1 at step 3
    valid = [None if step.valid is None else step.valid.tolist() for step in steps]
    assert valid == [None, None, [False, True], [True, False], None]
    assert [step.terminated.tolist() for step in steps[1:4]] == [
        [True, False],
        [False, True],
        [False, False],
    ]
    assert steps[1].next_observation[0].tolist() == [0, 0, 2]
    assert steps[3].observation[0].tolist() == [0, 1, 0]


@pytest.mark.parametrize("mode", MODES)
def test_first_episodes_are_seeded_and_under_disabled_all(
    counting_env: Counting, mode: AutoresetMode
) -> None:
    envs: list[Any] = [counting_env(0), counting_env(0)]
    tell(vector(mode, *envs), 12)
    for env in range(2):
        seeds = envs[env].seeds
        known = len(seeds) if mode == AutoresetMode.DISABLED else 1
        assert len(seeds) >= 4
        assert seeds[:known] == [
            derived_seed(7, "episode", env, episode) for episode in range(known)
        ]


def test_disabled_mode_equals_serial_environments() -> None:
    def pendulum() -> gymnasium.Env[Any, Any]:
        return gymnasium.make("Pendulum-v1", max_episode_steps=7)

    serial = SerialEnvironments([pendulum(), pendulum()], 7, "episode")
    serial.reset()
    assert tell(vector(AutoresetMode.DISABLED, pendulum(), pendulum()), 20) == tell(serial, 20)


@pytest.mark.parametrize("mode", MODES)
def test_reset_discards_the_current_episode(counting_env: Counting, mode: AutoresetMode) -> None:
    environments = vector(mode, counting_env(0), counting_env(1))
    tell(environments, 2)  # environment 0 has just ended; environment 1 stands in the midst
    environments.reset()
    step = environments.step(np.zeros((2, 1), np.float32))
    assert step.valid is None or step.valid.all()
    assert step.observation[:, 2].tolist() == [0, 0]
    assert environments.tracker.length.tolist() == [1, 1]
    assert environments.tracker.total.tolist() == step.reward.tolist()


@pytest.mark.parametrize("algorithm", ["a2c", "ppo"])
def test_make_vec_environment_trains_with_evaluations(algorithm: str, tmp_path: Path) -> None:
    environment = gymnasium.make_vec("CartPole-v1", 4, max_episode_steps=7)
    settings: dict[str, Any] = {
        "steps": 128,
        "n_steps": 16,
        "compile": "off",
        "eval_episodes": 2,
        "quiet": True,
    }
    settings |= {"minibatch_size": 32} if algorithm == "ppo" else {}
    run = footlight.train(algorithm, environment, run_dir=tmp_path / "run", **settings)
    result: Any = run.result
    assert result["status"] == "finished"
    assert result["final_evaluation"]["lengths"] == [7, 7]  # its own time limit
    assert run.config["resume"] == "exact"


def failing(counting_env: Counting, episode: int, step: int, **wrong: Any) -> Any:
    class Failing(counting_env):  # type: ignore[misc, valid-type]
        def here(self) -> bool:
            return (self.episode, self.steps) == (episode, step)

        def observe(self) -> Any:
            return (
                np.array(wrong["observation"], np.float32)
                if self.here() and "observation" in wrong
                else super().observe()
            )

        def step(self, action: Any) -> Any:
            observation, reward, *ends = super().step(action)
            if self.here() and "raises" in wrong:
                raise wrong["raises"]
            return observation, wrong.get("reward", reward) if self.here() else reward, *ends

    return Failing(0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("episode", "step"),
    [
        (0, 1),
        (0, 2),
        (1, 0),
    ],  # in the midst, at the end, and the first observation of the next episode
)
def test_invalid_observation_is_reported(
    counting_env: Counting, mode: AutoresetMode, episode: int, step: int
) -> None:
    environments = vector(
        mode, counting_env(3), failing(counting_env, episode, step, observation=[0, np.nan, 0])
    )
    with pytest.raises(
        EnvironmentFault, match=rf"environment 1 failed at step {step} .*observation\[1\] is nan"
    ):
        tell(environments, 4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("step", [1, 2])
def test_invalid_reward_is_reported(counting_env: Counting, mode: AutoresetMode, step: int) -> None:
    environments = vector(mode, counting_env(3), failing(counting_env, 0, step, reward=np.inf))
    seed = derived_seed(7, "episode", 1, 0)
    with pytest.raises(
        EnvironmentFault,
        match=rf"environment 1 failed at step {step} .* seed {seed}, action \[0\.\d*\]: reward is "
        rf"inf",
    ):
        tell(environments, 4)


@pytest.mark.parametrize("mode", MODES)
def test_exception_of_the_environment_is_a_fault(
    counting_env: Counting, mode: AutoresetMode
) -> None:
    environments = vector(
        mode, counting_env(3), failing(counting_env, 0, 2, raises=RuntimeError("the joint broke"))
    )
    with pytest.raises(EnvironmentFault, match="RuntimeError: the joint broke"):
        tell(environments, 4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("episode", "step"), [(0, 1), (0, 2), (1, 0), (1, 2)])
def test_state_saved_after_a_fault_is_the_one_before_it(
    counting_env: Counting, mode: AutoresetMode, episode: int, step: int
) -> None:
    environments = vector(
        mode, counting_env(0), failing(counting_env, episode, step, observation=[np.nan, 0, 0])
    )
    while True:
        before = {name: array.copy() for name, array in environments.arrays().items()}
        try:
            tell(environments, 1)
        except EnvironmentFault:
            break
    after = environments.arrays()
    assert {name: array.tolist() for name, array in after.items()} == {
        name: array.tolist() for name, array in before.items()
    }
    assert environments.finished == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"reward": np.ones(3)}, r"the rewards have shape \(3,\)"),
        ({"reward": np.array(["a", "b"])}, "the rewards are not numbers"),
        (
            {"reward": np.array([1, 1e39])},
            "environment 1 .*reward is 1e",
        ),  # finite, but not as float32
        ({"observation": np.zeros((2, 2))}, r"the observations have shape \(2, 2\)"),
        ({"observation": np.full((2, 3), 1e300)}, r"observation\[0\] is inf"),
        ({"terminated": np.zeros(1, bool)}, r"terminated and truncated have shape \(1,\)"),
        ({"truncated": np.zeros((2, 1), bool)}, r"terminated and truncated have shape \(2, 1\)"),
    ],
)
def test_wrong_shape_or_overflow_is_a_fault(
    counting_env: Counting, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any], message: str
) -> None:
    environments = vector(AutoresetMode.NEXT_STEP, counting_env(0), counting_env(1))
    good = dict(
        zip(
            ("observation", "reward", "terminated", "truncated", "info"),
            environments.env.step(np.zeros((2, 1))),
            strict=True,
        )
    )
    monkeypatch.setattr(environments.env, "step", lambda action: tuple((good | wrong).values()))
    with pytest.raises(EnvironmentFault, match=message):
        environments.step(np.zeros((2, 1), np.float32))


def test_one_seed_for_all_without_a_seed_for_each() -> None:
    given: list[Any] = []

    class Plain(VectorEnv[Any, Any, Any]):
        metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012
        num_envs = 2
        single_observation_space, single_action_space = (
            Scripted.observation_space,
            Scripted.action_space,
        )

        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            given.append(seed)
            return np.zeros((2, 3), np.float32), {}

    environments = VectorEnvironments(Plain(), 7, "episode")
    environments.reset()
    environments.restore(environments.arrays())
    assert given == [derived_seed(7, "episode", number) & 0x7FFFFFFF for number in (0, 2)]


@pytest.mark.parametrize("mode", MODES)
def test_restore_begins_new_episodes(counting_env: Counting, mode: AutoresetMode) -> None:
    environments = vector(mode, counting_env(0), counting_env(1))
    tell(environments, 4)
    envs: list[Any] = [counting_env(0), counting_env(1)]
    resumed = VectorEnvironments(
        SyncVectorEnv([lambda env=env: env for env in envs], autoreset_mode=mode), 7, "episode"
    )
    assert resumed.restore(environments.arrays()) == [0, 1]
    assert environments.tracker.index.tolist() == [1, 1]
    assert [env.seeds for env in envs] == [[derived_seed(7, "episode", env, 2)] for env in range(2)]
    assert resumed.observation.tolist() == [[0, 0, 0], [1, 0, 0]]


# Episodes that are left unfinished


def test_only_disabled_mode_can_abandon_episodes(counting_env: Counting) -> None:
    assert [vector(mode, counting_env(0)).can_abandon for mode in MODES] == [
        mode == AutoresetMode.DISABLED for mode in MODES
    ]


def test_abandoned_episodes_are_followed_by_the_next(counting_env: Counting) -> None:
    environments = vector(AutoresetMode.DISABLED, counting_env(0), counting_env(1))
    environments.step(np.zeros((2, 1), np.float32))
    environments.abandon([1])
    assert environments.observation.tolist() == [[0, 0, 1], [1, 1, 0]]  # who, episode, step
    assert environments.tracker.index.tolist() == [0, 1]
    assert environments.tracker.length.tolist() == [1, 0]
