"""The columns of `diagnostics.jsonl`: those that trainings write are described."""

import re
from pathlib import Path

import pytest
from small_runs import SMALL

import footlight.doctor
from footlight.runs.quantities import PER_NETWORK, QUANTITIES, describe


def test_columns_are_described() -> None:
    assert describe("critic_bias") is QUANTITIES["critic_bias"]
    assert describe("actor.dormant") is PER_NETWORK["dormant"]
    assert describe("nothing") is None
    assert describe("actor.nothing") is None


def test_columns_that_checks_read_are_described() -> None:
    files = Path(footlight.doctor.__file__).parent.glob("*_checks.py")
    source = "".join(path.read_text(encoding="utf-8") for path in files)
    read = re.findall(r'\.diagnostic\("(\w+)"\)', source)
    assert set(read) <= QUANTITIES.keys()
    of_networks = re.findall(r'\.of_networks\("(\w+)"\)', source)
    assert read
    assert of_networks
    assert set(of_networks) <= PER_NETWORK.keys()


@pytest.mark.parametrize(("algorithm", "env"), [("sac", "Pendulum-v1"), ("a2c", "CartPole-v1")])
def test_all_columns_of_a_run_are_described(tmp_path: Path, algorithm: str, env: str) -> None:
    given = {**SMALL, "eval_every": 150}
    run = footlight.train(algorithm, env, steps=300, run_dir=tmp_path / "run", **given)
    rows = run.diagnostics()
    assert len(rows) == 2
    for name in {name for row in rows for name in row} - {"step", "update"}:
        assert describe(name) is not None, name
