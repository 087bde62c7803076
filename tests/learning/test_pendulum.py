"""The whole way, as a user goes it: SAC learns to swing the pendulum up."""

from pathlib import Path

import footlight


def test_sac_swings_the_pendulum_up(tmp_path: Path) -> None:
    run = footlight.train(
        "sac",
        "Pendulum-v1",
        steps=7_000,
        seed=1,
        eval_every=0,
        run_dir=tmp_path / "run",
        quiet=True,
    )
    assert run.result is not None
    assert run.result["status"] == "finished"
    assert run.result["final_evaluation"]["mean_return"] >= -250
    assert run.evaluate(episodes=5, seed=3).mean_return >= -300
