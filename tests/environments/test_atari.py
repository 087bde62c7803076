"""Atari games: observations and rewards, lives, seeds, whole games in evaluations, errors."""

import json
from pathlib import Path
from typing import Any

import ale_py
import gymnasium
import numpy as np
import pytest

import footlight
from footlight.environments.atari import AtariConfig, AtariGame
from footlight.environments.make import configured, make, make_for_evaluation, make_one
from footlight.environments.serial import SerialEnvironments
from footlight.environments.vector import VectorEnvironments
from footlight.errors import UserError
from footlight.storage import checkpoint
from footlight.training.evaluation import evaluate

BREAKOUT = "ALE/Breakout-v5"
PLAIN: dict[str, Any] = {"sticky_actions": 0.0, "noop_max": 0, "fire_reset": False}


def play(env: gymnasium.Env[Any, Any], steps: int, seed: int) -> list[tuple[np.ndarray, float]]:
    """What a random player sees and earns until the game is over, at most `steps` steps."""
    player, seen = np.random.default_rng(seed), [(env.reset(seed=seed)[0], 0.0)]
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = env.step(player.integers(4))
        seen.append((observation, float(reward)))
        if terminated or truncated:
            break
    return seen


def equal(one: list[tuple[np.ndarray, float]], other: list[tuple[np.ndarray, float]]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(np.array_equal(a, b) and earned == paid for (a, earned), (b, paid) in pairs)


def test_id_has_the_standard_preprocessing() -> None:
    env = make_one(BREAKOUT)
    observation, _ = env.reset(seed=0)
    assert observation.shape == env.observation_space.shape == (4, 84, 84)
    assert observation.dtype == env.observation_space.dtype == np.uint8
    assert env.action_space == gymnasium.spaces.Discrete(4)


def test_game_depends_on_its_seed_alone() -> None:
    env, fresh = make_one(BREAKOUT), make_one(BREAKOUT)
    first = play(env, 150, seed=3)
    assert not equal(first, play(env, 150, seed=4)[: len(first)])
    assert equal(play(env, 150, seed=3), first)
    assert equal(play(fresh, 150, seed=3), first)


def test_single_game_equals_a_vector_of_one() -> None:
    game = AtariGame(BREAKOUT)
    single, several, player = game(), game.vector(3), np.random.default_rng(0)
    seen, _ = single.reset(seed=6)
    together, _ = several.reset(seed=[5, 6, 7])
    for _ in range(60):
        assert np.array_equal(seen, together[1])
        action = int(player.integers(4))
        seen, reward, *_ = single.step(action)
        together, rewards, *_ = several.step(np.full(3, action))
        assert reward == rewards[1]


@pytest.mark.parametrize(
    ("field", "value", "shape"),
    [
        ("frame_stack", 2, (2, 84, 84)),
        ("screen_size", 42, (4, 42, 42)),
        ("grayscale", False, (4, 84, 84, 3)),
    ],
)
def test_shape_of_images(field: str, value: Any, shape: tuple[int, ...]) -> None:
    game = make_one(configured(BREAKOUT, {field: value}))
    assert game.reset(seed=0)[0].shape == shape


@pytest.mark.parametrize(
    "changed",
    [{"frame_skip": 2}, {"max_pool": False}, {"sticky_actions": 0.25}, {"fire_reset": True}],
)
def test_every_setting_changes_observations(changed: dict[str, Any]) -> None:
    plain = play(AtariGame(BREAKOUT, AtariConfig(**PLAIN))(), 100, seed=1)
    other = play(AtariGame(BREAKOUT, AtariConfig(**PLAIN | changed))(), 100, seed=1)
    assert len(plain) != len(other) or not equal(plain, other)


def test_noops_and_full_actions() -> None:
    game: Any = make_one(BREAKOUT)
    assert game.get_action_meanings() == ["NOOP", "FIRE", "RIGHT", "LEFT"]
    for noop_max, different in (
        (0, {1}),
        (30, {2, 3, 4}),
    ):  # in this game the world moves from the first frame on
        env = AtariGame("ALE/Seaquest-v5", AtariConfig(noop_max=noop_max))()
        assert len({env.reset(seed=seed)[0].tobytes() for seed in range(4)}) in different
    assert AtariGame(
        BREAKOUT, AtariConfig(full_actions=True)
    )().action_space == gymnasium.spaces.Discrete(18)


def test_long_game_is_truncated() -> None:
    env = AtariGame(BREAKOUT, AtariConfig(max_frames=40))()
    env.reset(seed=0)
    ends = [env.step(0)[2:4] for _ in range(10)]
    assert (False, True) in ends
    assert (True, False) not in ends


def lives_and_ends(
    environments: SerialEnvironments | VectorEnvironments, steps: int
) -> tuple[int, list[Any]]:
    """Transitions that terminate, and the episodes that are counted."""
    player, marks, episodes = np.random.default_rng(0), 0, []
    environments.reset()
    for _ in range(steps):
        marks += int(
            environments.step(player.integers(4, size=environments.num_envs)).terminated.sum()
        )
        episodes += environments.finished
    return marks, episodes


@pytest.mark.parametrize("num_envs", [1, 2])
def test_lost_life_ends_the_learned_episode_but_not_the_reported_one(num_envs: int) -> None:
    source = configured(BREAKOUT, {"life_loss_ends": True})
    environments = make(source, seed=1, num_envs=num_envs, vectorization="native")
    assert isinstance(environments, SerialEnvironments if num_envs == 1 else VectorEnvironments)
    marks, episodes = lives_and_ends(environments, 420)
    assert len(episodes) >= num_envs
    assert marks >= 5 * len(episodes)  # five lives, the last of them with the game
    whole, games = lives_and_ends(make(BREAKOUT, seed=1, num_envs=num_envs), 420)
    assert whole == len(games)
    assert episodes == games  # the same games, learned from in another way


def test_evaluations_are_whole_games() -> None:
    environments = make_for_evaluation(
        configured(BREAKOUT, {"life_loss_ends": True}), 0, "evaluation", episodes=3
    )
    assert environments.num_envs == 3
    marks, episodes = lives_and_ends(environments, 300)
    assert marks == len(episodes) > 0


def test_rendered_frames_show_the_game_that_is_played() -> None:
    env = AtariGame(BREAKOUT)("rgb_array")
    player = np.random.default_rng(0)
    env.reset(seed=2)
    for _ in range(40):
        observation, *_ = env.step(player.integers(4))
        picture = env.render()
        assert picture.shape == (210, 160, 3)
        # Each number of the one is an average over the same place of the other
        rows = picture.mean(2)[:210, :].reshape(14, 15, 160).mean((1, 2))
        seen = observation[-1].reshape(14, 6, 84).mean((1, 2))
        assert np.corrcoef(rows, seen)[0, 1] > 0.98


def test_run_config_holds_the_settings_and_remakes_the_environment(tmp_path: Path) -> None:
    run = footlight.train(
        "a2c", BREAKOUT, steps=96, num_envs=2, screen_size=44, torso="small", hidden_sizes=(8,),
        noop_max=3, eval_episodes=0, compile="off", quiet=True, run_dir=tmp_path / "run",
    )  # fmt: skip
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())
    assert recorded["preset"] == "a2c/ALE/*"
    assert recorded["vectorization"] == "native"
    assert recorded["environment_config"]["noop_max"] == 3
    assert recorded["environment_config"]["life_loss_ends"] is True
    assert run.make_env().observation_space.shape == (4, 44, 44)
    footlight.resume(tmp_path / "run", steps=160, quiet=True)
    assert run.result is not None
    assert run.result["steps"] == 160


def test_run_with_one_game_resumes_exactly(tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "num_envs": 1, "screen_size": 44, "torso": "small", "hidden_sizes": (8,),
        "eval_episodes": 0, "checkpoint_every": 50, "compile": "off", "quiet": True,
        "learning_rate_schedule": "constant",
    }  # fmt: skip
    footlight.train("a2c", BREAKOUT, steps=130, run_dir=tmp_path / "straight", **fields)
    footlight.train("a2c", BREAKOUT, steps=70, run_dir=tmp_path / "parts", **fields)
    footlight.resume(tmp_path / "parts", steps=130, quiet=True)
    straight, parts = (
        checkpoint.read_arrays(checkpoint.find(tmp_path / name), "policy")
        for name in ("straight", "parts")
    )
    assert straight.keys() == parts.keys()
    for name, array in straight.items():
        np.testing.assert_array_equal(parts[name], array, err_msg=name)


def test_presets_for_games_fit_given_objects(tmp_path: Path) -> None:
    source = gymnasium.make(BREAKOUT)  # in color, at full size
    footlight.train(
        "a2c",
        source,
        steps=5,
        hidden_sizes=(8,),
        eval_episodes=0,
        quiet=True,
        compile="off",
        run_dir=tmp_path / "run",
    )
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (recorded["preset"], recorded["num_envs"], recorded["config"]["torso"]) == (
        "a2c/ALE/*",
        1,
        "nature",
    )
    assert "environment_config" not in recorded


def test_unknown_games_and_settings_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        UserError, match=r"unknown game 'ALE/Brakeout-v5' - did you mean 'ALE/Breakout-v5'\?"
    ):
        make_one("ALE/Brakeout-v5")
    with pytest.raises(UserError, match=r"frame_skip is 0 - it must be an integer in \[1, 64\]"):
        configured(BREAKOUT, {"frame_skip": 0})
    with pytest.raises(UserError, match="unknown field 'noop_max'"):
        footlight.train("a2c", "CartPole-v1", noop_max=3, run_dir=tmp_path / "run")
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path))
    with pytest.raises(
        UserError, match=r"ALE/Breakout-v5 cannot be played - .* - repair .*, or reinstall ale-py"
    ):
        make_one(BREAKOUT)


def test_old_names_of_games_suggest_the_new_ones() -> None:
    with pytest.raises(
        UserError,
        match="unknown environment 'Breakout2NoFrameskip-v4' - did you mean 'ALE/Breakout2-v5'",
    ):
        make_one("Breakout2NoFrameskip-v4")  # unknown also where ale-py was imported


@pytest.mark.parametrize("seed", range(4))  # some of these give a common seed of more than 31 bits
def test_vector_environment_of_ale_py_takes_every_seed(seed: int) -> None:
    games = make(ale_py.AtariVectorEnv("breakout", 2), seed)
    assert games.reset().shape == (2, 4, 84, 84)
    assert games.step(np.zeros(2, np.int64)).valid is None


def test_id_passed_again_keeps_the_settings_of_the_run(tmp_path: Path) -> None:
    footlight.train(
        "a2c", BREAKOUT, steps=5, num_envs=1, screen_size=44, torso="small", hidden_sizes=(8,),
        eval_episodes=0, compile="off", quiet=True, run_dir=tmp_path / "run",
    )  # fmt: skip
    assert footlight.Run(
        tmp_path / "run", environment=BREAKOUT
    ).make_env().observation_space.shape == (4, 44, 44)
    config = tmp_path / "run" / "config.json"
    config.write_text(
        config.read_text().replace('"screen_size": 44', '"screen_size": 84')
    )  # which is for people
    assert footlight.Run(tmp_path / "run").make_env().observation_space.shape == (4, 44, 44)


class Waiting:
    """A policy that never presses a button."""

    def reset(self, ended: Any = None) -> None: ...

    def act(self, observation: Any, deterministic: bool) -> Any:
        return np.zeros(len(observation), np.int64)


def test_endless_games_are_cut_off_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footlight.learning.evaluation.MAX_EPISODE_STEPS", 60)
    found = []
    for episodes in (1, 3):
        environments = make_for_evaluation(configured(BREAKOUT), 0, "evaluation", episodes)
        policy: Any = Waiting()
        found.append(evaluate(policy, environments, episodes))
    assert [evaluation.lengths for evaluation in found] == [(60,), (60, 60, 60)]
    assert [evaluation.unfinished for evaluation in found] == [1, 3]


def test_games_are_restarted_one_by_one() -> None:
    environments = make(BREAKOUT, seed=1, num_envs=3)
    environments.reset()
    for _ in range(5):
        before = environments.step(np.array([2, 2, 2])).next_observation
    environments.tracker.finish(1, False)
    after = environments.restart([1])
    assert np.array_equal(after[[0, 2]], before[[0, 2]])
    assert not np.array_equal(after[1], before[1])
    assert environments.tracker.length.tolist() == [5, 0, 5]
