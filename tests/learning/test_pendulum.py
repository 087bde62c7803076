"""The whole way, as a user goes it: SAC learns to swing the pendulum up."""

from pathlib import Path

import pytest
import torch._inductor.config as config

import footlight

SETTING = "enable_floating_point_contract_flag"  # followed by all others in `make check`


def test_sac_swings_the_pendulum_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Thousands of compiled updates, which -O0 would make three times slower. Headers that are
    # precompiled for -O1 would serve these two alone.
    monkeypatch.setenv(f"TORCHINDUCTOR_CPP_{SETTING.upper()}", "off -O1")
    changes = {f"cpp.{SETTING}": "off -O1", "cpp_cache_precompile_headers": False}
    with config.patch(changes):
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
