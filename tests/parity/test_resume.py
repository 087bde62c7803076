"""A resumed run equals an uninterrupted one: weights, optimizers, buffer, streams, logs."""

import json
import signal
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv

import footlight
from footlight.storage import checkpoint

FAST: dict[str, Any] = {
    "hidden_sizes": (16, 16),
    "batch_size": 16,
    "learning_starts": 50,
    "updates_per_step": 0.25,
    "buffer_size": 300,
    "eval_every": 200,
    "eval_episodes": 1,
    "checkpoint_every": 130,
    "compile": "off",
    "quiet": True,
}
SMALL_REPLAY: dict[str, Any] = {"learning_starts": 50, "batch_size": 8}
REPLAY = SMALL_REPLAY | {"updates_per_step": 0.25}


def state_of(folder: Path) -> dict[str, np.ndarray]:
    found = checkpoint.find(folder)
    groups = ("policy", "agent", "buffer", "environments")
    return {
        f"{group}/{name}": array
        for group in groups
        for name, array in checkpoint.read_arrays(found, group).items()
    }


def lines(folder: Path, log: str) -> list[dict[str, Any]]:
    return [
        {**json.loads(line), "time_s": 0}
        for line in (folder / f"{log}.jsonl").read_text().splitlines()
    ]


@pytest.mark.parametrize(
    ("algorithm", "fields"),
    [
        ("sac", {"n_steps": 3, "num_envs": 2}),
        ("td3", {"exploration": "ornstein-uhlenbeck"}),
        ("ddpg", {"updates_per_step": 0.5}),
        # Constant: a run of other `steps` has another schedule
        ("sac", {
            "n_steps": 3, "num_envs": 2, "prioritization": "proportional",
            "importance_exponent": 1.0}),
        ("td3", {"prioritization": "lap"}),
        ("td7", {"embedding_size": 8, "copy_interval": 30}),
        ("td7", {"num_envs": 2, "n_steps": 3, "use_checkpoints": False}),
        ("crossq", {"precision": "bf16"}),
        ("td7", {"embedding_size": 8, "copy_interval": 30, "precision": "bf16"}),
    ],
)  # fmt: skip
def test_stopped_and_resumed_equals_straight(
    algorithm: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    settings = FAST | fields
    footlight.train(
        algorithm, "Pendulum-v1", steps=460, seed=5, run_dir=tmp_path / "straight", **settings
    )
    footlight.train(
        algorithm, "Pendulum-v1", steps=270, seed=5, run_dir=tmp_path / "resumed", **settings
    )
    footlight.resume(tmp_path / "resumed", steps=460, quiet=True)
    straight, resumed = state_of(tmp_path / "straight"), state_of(tmp_path / "resumed")
    assert straight.keys() == resumed.keys()
    for name, array in straight.items():
        np.testing.assert_array_equal(resumed[name], array, err_msg=name)
    assert lines(tmp_path / "resumed", "episodes") == lines(tmp_path / "straight", "episodes")
    manifests = [
        checkpoint.read_manifest(checkpoint.find(tmp_path / name))
        for name in ("straight", "resumed")
    ]
    for name in ("streams", "buffer", "num_updates", "step"):
        assert manifests[0][name] == manifests[1][name]


class Interrupting(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Simulate Ctrl-C during step `at`, counted over all instances."""

    steps, at = 0, -1

    def step(self, action: Any) -> Any:
        Interrupting.steps += 1
        if Interrupting.steps == Interrupting.at:
            signal.raise_signal(signal.SIGINT)
        return super().step(action)


@pytest.mark.parametrize(
    ("algorithm", "env_id", "fields"),
    [
        ("a2c", "CartPole-v1", {
            "num_envs": 2, "n_steps": 8, "entropy_coef": 0.01, "final_entropy_coef": 0.0}),
        ("a2c", "Pendulum-v1", {
            "action_head": "squashed-gaussian", "entropy_coef": 0.01,
            "normalize_observations": True}),
        ("impala", "CartPole-v1", {
            "num_envs": 2, "n_steps": 16, "num_epochs": 2, "num_minibatches": 2,
            "normalize_observations": True}),
        ("impala", "Pendulum-v1", {"action_head": "squashed-gaussian", "entropy_coef": 0.01}),
        ("ppo", "CartPole-v1", {
            "num_envs": 2, "n_steps": 32, "minibatch_size": 16,
            "learning_rate_schedule": "linear"}),
        ("ppo", "Pendulum-v1", {
            "n_steps": 64, "minibatch_size": 32, "normalize_rewards": True, "target_kl": 0.01}),
        ("actor-critic", "CartPole-v1", {}),
        ("reinforce", "CartPole-v1", {"num_envs": 2, "episodes_per_update": 3}),
        ("replay-actor-critic", "CartPole-v1", {
            **SMALL_REPLAY, "critic_updates_per_actor": 2}),
        ("replay-actor-critic", "CartPole-v1", {
            **SMALL_REPLAY, "bootstrap": "max",
            "exploration_epsilon": 0.2, "optimizer": "sgd", "sample_with_replacement": False}),
        ("replay-actor-critic", "CartPole-v1", {
            **SMALL_REPLAY, "prioritization": "proportional"}),
        ("sac", "Pendulum-v1", {
            **REPLAY, "prioritization": "proportional"}),
        ("sac-discrete", "CartPole-v1", {
            "num_envs": 2, **REPLAY, "n_steps": 3,
            "policy_delay": 2, "normalize_rewards": True}),
        ("stream-ac", "CartPole-v1", {}),
        ("td7", "Pendulum-v1", {
            **REPLAY, "embedding_size": 8, "copy_interval": 30,
            "late_phase_starts": 40, "steps": 461}),  # it learns when an episode has ended
    ],
)  # fmt: skip
def test_interrupted_run_equals_straight(
    algorithm: str,
    env_id: str,
    fields: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def source() -> gymnasium.Env[Any, Any]:
        return Interrupting(gymnasium.make(env_id))

    monkeypatch.setattr("footlight.config.options.LOG_EVERY", 100)
    # The probe's instances would count their steps, too
    monkeypatch.setattr("footlight.api.check_determinism", lambda *given: None)
    settings: dict[str, Any] = {
        "hidden_sizes": (8, 8),
        "steps": 241,
        "seed": 5,
        "compile": "off",
        "quiet": True,
        "eval_episodes": 0,
    } | fields
    footlight.train(
        algorithm, source, run_dir=tmp_path / "straight", vectorization="sync", **settings
    )
    monkeypatch.setattr(Interrupting, "steps", 0)
    monkeypatch.setattr(Interrupting, "at", settings["steps"] * 3 // 5)
    with pytest.raises(KeyboardInterrupt):
        footlight.train(
            algorithm, source, run_dir=tmp_path / "resumed", vectorization="sync", **settings
        )
    monkeypatch.setattr(Interrupting, "at", -1)
    assert footlight.Run(tmp_path / "resumed").result["status"] == "stopped"  # type: ignore[index]
    footlight.resume(tmp_path / "resumed", environment=source, quiet=True)
    straight, resumed = state_of(tmp_path / "straight"), state_of(tmp_path / "resumed")
    assert straight.keys() == resumed.keys()
    for name, array in straight.items():
        np.testing.assert_array_equal(resumed[name], array, err_msg=name)
    for log in ("episodes", "metrics"):
        assert lines(tmp_path / "resumed", log) == lines(tmp_path / "straight", log)
    manifests = [
        checkpoint.read_manifest(checkpoint.find(tmp_path / name))
        for name in ("straight", "resumed")
    ]
    assert manifests[0]["step"] == settings["steps"]
    for name in ("streams", "buffer", "num_updates", "step"):
        assert manifests[0][name] == manifests[1][name]


@pytest.mark.parametrize(("algorithm", "given"), [("a2c", "id"), ("ppo", "id"), ("a2c", "object")])
def test_interrupted_run_in_gymnasiums_vector_cartpole_equals_straight(
    algorithm: str,
    given: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Counted over all steps; the second is in a resumed run
    step, interrupted = CartPoleVectorEnv.step, [37, 58]

    def counting(self: Any, action: Any) -> Any:
        count[0] += 1
        if count[0] in interrupted:
            signal.raise_signal(signal.SIGINT)
        return step(self, action)

    def source() -> Any:
        return "CartPole-v1" if given == "id" else gymnasium.make_vec("CartPole-v1", 8)

    # With the shipped presets
    settings: dict[str, Any] = {"steps": 600, "seed": 3, "compile": "off", "eval_episodes": 0}
    footlight.train(algorithm, source(), run_dir=tmp_path / "straight", **settings)
    assert "| resumes exactly" in capsys.readouterr().out.splitlines()[0]
    count = [0]
    # The steps of the comparison would count, too
    monkeypatch.setattr("footlight.training.instances.why_different", lambda *given: None)
    monkeypatch.setattr(CartPoleVectorEnv, "step", counting)
    with pytest.raises(KeyboardInterrupt):
        footlight.train(algorithm, source(), run_dir=tmp_path / "resumed", quiet=True, **settings)
    with pytest.raises(KeyboardInterrupt):
        footlight.resume(tmp_path / "resumed", environment=source(), quiet=True)
    footlight.resume(tmp_path / "resumed", environment=source(), quiet=True)
    straight, resumed = state_of(tmp_path / "straight"), state_of(tmp_path / "resumed")
    assert straight.keys() == resumed.keys()
    for name, array in straight.items():
        np.testing.assert_array_equal(resumed[name], array, err_msg=name)
    assert "environments/native.state" in straight
    assert lines(tmp_path / "resumed", "episodes") == lines(tmp_path / "straight", "episodes")
    assert footlight.Run(tmp_path / "resumed").config["resume"] == "exact"


def test_return_of_an_episode_is_that_before_the_interruption(tmp_path: Path) -> None:
    """Although its rewards depend on statistics that have moved on since it began."""
    fields = {**FAST, "checkpoint_every": 0, "eval_every": 0}

    def source() -> gymnasium.Env[Any, Any]:
        return gymnasium.wrappers.NormalizeReward(gymnasium.make("Pendulum-v1"))

    footlight.train("td3", source, steps=250, run_dir=tmp_path / "straight", **fields)
    footlight.train("td3", source, steps=120, run_dir=tmp_path / "resumed", **fields)
    footlight.resume(tmp_path / "resumed", steps=250, quiet=True, environment=source)
    assert lines(tmp_path / "resumed", "episodes") == lines(tmp_path / "straight", "episodes")


def test_equal_seeds_are_equal_runs_and_others_are_not(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        footlight.train(
            "ddpg", "Pendulum-v1", steps=120, seed=seed, run_dir=tmp_path / name, **FAST
        )
    a, b, c = (state_of(tmp_path / name) for name in "abc")
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not np.array_equal(a["agent/actor"], c["agent/actor"])


def test_evaluations_and_checkpoints_change_nothing(tmp_path: Path) -> None:
    often = FAST | {"eval_every": 30, "checkpoint_every": 30}
    never = FAST | {"eval_every": 0, "checkpoint_every": 0}
    footlight.train("sac", "Pendulum-v1", steps=150, run_dir=tmp_path / "often", **often)
    footlight.train("sac", "Pendulum-v1", steps=150, run_dir=tmp_path / "never", **never)
    a, b = state_of(tmp_path / "often"), state_of(tmp_path / "never")
    assert all(np.array_equal(a[name], b[name]) for name in a)


def test_one_environment_equals_a_vector_of_one(tmp_path: Path) -> None:
    import gymnasium

    vector = gymnasium.vector.SyncVectorEnv(
        [lambda: gymnasium.make("Pendulum-v1")],
        autoreset_mode=gymnasium.vector.AutoresetMode.DISABLED,
    )
    footlight.train("td3", "Pendulum-v1", steps=450, run_dir=tmp_path / "one", preset=False, **FAST)
    footlight.train(
        "td3",
        vector,
        steps=450,
        run_dir=tmp_path / "vector",
        preset=False,
        **FAST | {"eval_episodes": 0},
    )
    a, b = state_of(tmp_path / "one"), state_of(tmp_path / "vector")
    assert all(
        np.array_equal(a[name], b[name]) for name in a if name.startswith(("agent/", "buffer/"))
    )


def test_an_agent_saved_and_loaded_goes_on_alike(tmp_path: Path) -> None:
    environment = footlight.train(
        "sac", "Pendulum-v1", steps=60, run_dir=tmp_path / "run", **FAST
    ).make_env()
    agent = footlight.Agent.load(tmp_path / "run")
    agent.save(tmp_path / "agent")
    twin = footlight.Agent.load(tmp_path / "agent")
    observation, _ = environment.reset(seed=0)
    for _ in range(20):
        action = agent.act(observation, explore=True)
        np.testing.assert_array_equal(action, twin.act(observation, explore=True))
        following, reward, terminated, truncated, _ = environment.step(action)
        assert agent.observe(
            observation, action, reward, following, terminated, truncated
        ) == twin.observe(observation, action, reward, following, terminated, truncated)
        observation = following
