"""Other libraries themselves, where they are installed: none of them is a dependency.

pip install --target SITE --no-deps stable-baselines3 pandas pettingzoo supersuit optuna ...
PYTHONPATH=SITE pytest tests/walls/test_real_packages.py
"""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import footlight

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs
BRIEF: dict[str, Any] = {
    "steps": 300, "compile": "off", "threads": 1, "quiet": True, "eval_episodes": 1,
}  # fmt: skip


@pytest.mark.parametrize(("algorithm", "name"), [("a2c", "CartPole-v1"), ("sac", "Pendulum-v1")])
@pytest.mark.parametrize("deterministic", [True, False])
def test_evaluate_policy_of_stable_baselines3(
    algorithm: str, name: str, deterministic: bool, tmp_path: Path
) -> None:
    evaluation = pytest.importorskip("stable_baselines3.common.evaluation")
    from stable_baselines3.common.env_util import make_vec_env

    few = {"learning_starts": 20} if algorithm == "sac" else {}
    policy = footlight.train(algorithm, name, run_dir=tmp_path / "run", **few, **BRIEF).policy
    for env in (gymnasium.make(name), make_vec_env(name, 3, seed=0)):
        returns, lengths = evaluation.evaluate_policy(
            policy, env, 4, deterministic, return_episode_rewards=True, warn=False
        )
        assert len(returns) == len(lengths) == 4
        assert np.isfinite(returns).all()


def test_training_in_a_vec_env_of_stable_baselines3(tmp_path: Path) -> None:
    pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

    envs = VecFrameStack(make_vec_env("CartPole-v1", 2), 3)
    run = footlight.train("a2c", envs, run_dir=tmp_path / "run", **BRIEF)
    assert run.config["environment"] == "CartPole-v1"
    assert all(row["return"] == row["length"] for row in run.episodes())  # 1 a step
    with pytest.raises(footlight.UserError, match="VecNormalize cannot be trained in"):
        footlight.train("a2c", VecNormalize(make_vec_env("CartPole-v1", 2)), **BRIEF)


def test_agents_of_pettingzoo_by_supersuit(tmp_path: Path) -> None:
    supersuit = pytest.importorskip("supersuit")
    knights = pytest.importorskip("pettingzoo.butterfly.knights_archers_zombies_v11")

    def make() -> Any:
        agents = supersuit.black_death_v3(knights.parallel_env(max_cycles=20))
        agents = supersuit.pettingzoo_env_to_vec_env_v1(agents)
        return supersuit.concat_vec_envs_v1(agents, 2, num_cpus=0, base_class="gymnasium")

    run = footlight.train("a2c", make(), eval_environment=make(), run_dir=tmp_path / "run", **BRIEF)
    assert run.config["environment"].startswith("knights_archers_zombies")
    assert run.config["num_envs"] == 8
    assert {row["length"] for row in run.episodes()} == {21}
    assert run.result is not None
    assert run.result["final_evaluation"]["lengths"] == [21]


def test_frames_of_pandas(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    run = footlight.train("a2c", "CartPole-v1", run_dir=tmp_path / "run", eval_every=100, **BRIEF)
    for rows in (run.metrics(), run.episodes(), run.evaluations()):
        frame = rows.frame()
        assert isinstance(frame, pandas.DataFrame)
        assert len(frame) == len(rows) > 0
        assert frame["step"].tolist() == [row["step"] for row in rows]


def test_pruning_with_optuna(tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: Any) -> Any:
        def report(training: Any, evaluation: Any) -> None:
            trial.report(evaluation.mean_return, training.step)
            if not training.is_last and trial.should_prune():
                training.stop("pruned")

        run = footlight.train(
            "a2c", "CartPole-v1", run_dir=tmp_path / str(trial.number), eval_every=100,
            hooks=[footlight.on_evaluation(report)], **BRIEF,
        )  # fmt: skip
        assert run.result is not None
        if run.result.get("stop_reason") == "pruned":
            raise optuna.TrialPruned
        return run.result["final_evaluation"]["mean_return"]

    # Prunes whatever is below an unreachable return, at the second report
    pruner = optuna.pruners.ThresholdPruner(lower=1e6, n_warmup_steps=150)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    study.optimize(objective, n_trials=1)
    assert study.trials[0].state == optuna.trial.TrialState.PRUNED
    assert len(study.trials[0].intermediate_values) == 2 or study.trials[0].last_step < 300
