"""A sweep's file, and everything that is wrong with one before anything is made."""

from pathlib import Path
from typing import Any

import gymnasium
import pytest
from sweep_specs import GRID

from footlight.errors import UserError
from footlight.sweeps.spec import read_file, read_spec, with_trials


def changed(**changes: Any) -> dict[str, Any]:
    return {name: x for name, x in {**GRID, **changes}.items() if x is not None}


def test_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(
        'algorithm = "sac"\nenvironment = "Pendulum-v1"\n'
        "[search]\nlearning_rate = { low = 1e-4, high = 1e-2, log = true }\n"
    )
    spec = read_file(path)
    assert (spec.method, spec.trials, spec.seeds, spec.objective) == ("tpe", 20, (0,), "mean")
    assert not spec.prune
    assert spec.arguments({"algorithm": "sac", "learning_rate": 1e-3}) == {
        "algorithm": "sac", "learning_rate": 1e-3, "environment": "Pendulum-v1", "preset": True
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"search": {"batchsize": [1]}}, "unknown field 'batchsize' - did you mean 'batch_size'"),
        ({"search": {"batch_size": [4, 0]}}, "batch_size is 0"),
        ({"search": {"tau": {"low": 0.1, "high": 2.0, "count": 2}}}, "tau is 2.0"),
        ({"search": {"tau": {"low": 0.1, "high": 1.0}}}, "add count"),
        ({"search": {"seed": [1, 2]}}, "unknown field 'seed'"),
        ({"search": {}}, "searches nothing"),
        ({"values": {"batch_size": 3}}, "belongs to search"),
        ({"values": {"no_field": 3}}, "unknown field 'no_field'"),
        ({"values": {"wrapper": "own.py:W"}}, "unknown field 'wrapper'"),
        ({"values": {"eval_environment": "own.py:E"}}, "unknown field 'eval_environment'"),
        ({"values": {"environment": "Pendulum-v1"}}, "belongs to the sweep itself"),
        ({"values": {"eval_episodes": 0}}, "a sweep compares evaluations"),
        ({"algorithm": "dqn"}, "unknown algorithm 'dqn'"),
        ({"algorithm": ["ddpg", "ddpg"]}, "name each algorithm once"),
        ({"algorithm": "sac-discrete"}, "needs one discrete choice"),
        ({"environment": "Pendulum-v9"}, "unknown environment"),
        ({"environment": "own.py:Env"}, "a sweep file cannot name code"),
        ({"environment": None}, "names no environment"),
        ({"method": "gird"}, "did you mean 'grid'"),
        ({"prune": True}, 'prune needs method = "tpe"'),
        ({"trials": 0}, "trials is 0"),
        ({"seeds": []}, "0 seeds"),
        ({"sedes": 3}, "did you mean 'seeds'"),
        ({"steps": 3}, r"belong in \[values\]"),
    ],
)
def test_wrong_file_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_spec(changed(**changes), "FILE")


def test_grid_has_all_combinations_and_trials_may_be_fewer() -> None:
    search = {"batch_size": [4, 8], "gamma": {"low": 0.5, "high": 0.9, "count": 3}}
    spec = read_spec(changed(search=search), "FILE")
    points = [(one["batch_size"], one["gamma"]) for one in spec.grid()]
    assert points == [(b, pytest.approx(g)) for b in (4, 8) for g in (0.5, 0.7, 0.9)]
    assert spec.trials == 6
    assert with_trials(spec, 4, "FILE").trials == 4
    assert with_trials(spec, 40, "FILE").trials == 6


def test_drawn_values_depend_on_seed_and_number_alone() -> None:
    search = {"gamma": {"low": 0.5, "high": 0.9}}
    one, again, other = (
        read_spec(changed(method="random", search=search, seed=seed), "FILE") for seed in (1, 1, 2)
    )
    drawn = [one.drawn(number) for number in range(5)]
    assert drawn == [again.drawn(number) for number in range(5)]
    assert len({each["gamma"] for each in drawn}) == 5
    assert one.drawn(0) != other.drawn(0)


def test_each_algorithm_gets_the_fields_that_it_has() -> None:
    values = {**GRID["values"], "policy_delay": 2}
    spec = read_spec(
        changed(
            algorithm=["ddpg", "td3"], values=values,
            search={"batch_size": [4], "target_policy_noise": [0.1, 0.2]},
        ),
        "FILE",
    )  # fmt: skip
    of_ddpg, *of_td3 = spec.grid()
    assert "target_policy_noise" not in of_ddpg
    assert [one["target_policy_noise"] for one in of_td3] == [0.1, 0.2]
    assert "policy_delay" not in spec.arguments(of_ddpg)
    assert spec.arguments(of_td3[0])["policy_delay"] == 2


def test_environment_of_python_takes_the_place_of_the_files() -> None:
    def make() -> Any:
        return gymnasium.make("Pendulum-v1")

    spec = read_spec(GRID, "FILE", make)
    assert spec.arguments({"algorithm": "ddpg"})["environment"] is make
    with pytest.raises(UserError, match="each seed needs its own"):
        read_spec(GRID, "FILE", make())
