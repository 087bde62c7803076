"""Runs for the doctor, made of rows: healthy ones, which tests damage."""

from collections.abc import Callable
from pathlib import Path
from statistics import pstdev
from typing import Any

from footlight.doctor.checkup import examine_data
from footlight.doctor.evidence import Evidence
from footlight.runs.read import RunData

STEPS, NUM_ROWS = 10_000, 10

GROWING = [1 + 0.1 * (index + 1) for index in range(NUM_ROWS)]
DIAGNOSTICS: dict[str, Any] = {
    "critic_value": 10.0, "critic_return": 10.0, "critic_bias": 0.02, "critic_spread": 0.1,
    "policy_preferred": 0.95, "entropy_gap": 0.1,
    "critic_explained_variance": 0.9, "value_bound_ratio": 0.4,
    "value_size": 20.0, "edge_mass": 0.0,
    "relative_entropy": 0.6, "action_saturation": 0.1, "action_variation": 0.4,
    "action_reach": 0.95, "action_scale": 1.0, "positive_rewards": 0.3,
    "reward_mean": -0.5, "reward_std": 1.0, "reward_max": 2.0,
    "reward_mode_share": 0.01, "terminal_share": 0.0, "sample_rows": 256.0, "observation_max": 3.0,
    "constant_observations": 0.0, "equal_starts": 0.0, "rollout_is_current": 1.0,
    "action_range": 1.0,
    "critic.update_size": 1e-3, "critic.weight_growth": GROWING, "critic.target_distance": 0.05,
    "critic.dormant": 0.1, "critic.saturated": 0.1, "actor.update_size": 1e-3,
    "actor.weight_growth": GROWING, "actor.dormant": 0.1,
}  # fmt: skip
CONFIG: dict[str, Any] = {
    "gamma": 0.99, "buffer_size": 100_000, "batch_size": 256, "num_epochs": 10, "tau": 0.005,
    "learn_alpha": True, "initial_alpha": 1.0, "target_network": True,
}  # fmt: skip


def rows_of(**columns: Any) -> list[dict[str, Any]]:
    """Rows over the run; a column is one value, or a list of one for each row."""
    return [
        {
            "step": STEPS * (index + 1) // NUM_ROWS,
            "update": 900 * (index + 1),
            **{
                name: value[index] if isinstance(value, list) else value
                for name, value in columns.items()
            },
        }
        for index in range(NUM_ROWS)
    ]


def episodes_of(
    returns: list[float], length: int = 100, how: str = "truncated", num_envs: int = 1
) -> list[dict[str, Any]]:
    """Episodes over the run, with these returns."""
    return [
        {
            "step": STEPS * (index + 1) // len(returns), "env": index % num_envs,
            "return": value, "length": length, how: True,
        }
        for index, value in enumerate(returns)
    ]  # fmt: skip


FLAT = [-100.0 + index % 7 for index in range(100)]
RISING = [-100.0 + index + index % 7 for index in range(100)]


def run(
    returns: list[float] = RISING,
    config: dict[str, Any] | None = None,
    episodes: list[dict[str, Any]] | None = None,
    num_envs: int = 1,
    metrics: list[dict[str, Any]] | None = None,
    **diagnostics: Any,
) -> RunData:
    """A healthy run with these changes; a diagnostic of None is left out."""
    kept = {k: v for k, v in {**DIAGNOSTICS, **diagnostics}.items() if v is not None}
    return RunData(
        folder=Path("run"),
        config={"num_envs": num_envs, "config": {**CONFIG, **(config or {})}},
        evaluations=[
            {
                "step": row["step"],
                "mean_return": returns[index * (len(returns) - 1) // (NUM_ROWS - 1)],
                "std_return": pstdev(returns),
                "returns": [1.0],
                "lengths": [100],
                "deterministic": True,
            }
            for index, row in enumerate(rows_of())
        ],
        episodes=episodes_of(returns) if episodes is None else episodes,
        metrics=metrics or rows_of(critic_loss=1.0, approx_kl=0.01, clip_fraction=0.1),
        result={"status": "finished", "steps": STEPS},
        diagnostics=rows_of(**kept),
    )


def evidence(*given: Any, **changes: Any) -> Evidence:
    """The evidence of `run`."""
    return Evidence(run(*given, **changes))


Fault = Callable[[], RunData]


def cases(faults: dict[str, list[Fault]]) -> list[tuple[str, Fault]]:
    """Each check with each of its faults."""
    return [(check, fault) for check, found in faults.items() for fault in found]


def named(damaged: RunData) -> list[str]:
    """The checks of the first two findings."""
    checkup = examine_data(damaged)
    assert not checkup.is_healthy
    logs = damaged.diagnostics, damaged.metrics, damaged.evaluations
    columns = {name for rows in logs for row in rows for name in row}
    assert {found.quantity for found in checkup.findings} <= {None, *columns}
    return [found.check for found in checkup.findings[:2]]
