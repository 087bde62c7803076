"""What is refused before anything is created: a missing Ray, and clusters that are not fit."""

import dataclasses
import json
import socket
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from sweeps.sweep_specs import GRID

import footlight
from footlight.cli.main import main
from footlight.errors import UserError
from footlight.training import ray_cluster
from footlight.training.ray_cluster import Cluster

VERSIONS = ray_cluster._versions()
SEEDS = ["train", "ddpg", "Pendulum-v1", "--seeds", "2", "--run-dir", "new"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    return tmp_path


def closed_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("somewhere", "ray is 'somewhere' - give local, or HOST:PORT"),
        ("ray://head:10001", "give local, or HOST:PORT"),
        (":6379", "give local, or HOST:PORT"),
        ("head:99999", "give local, or HOST:PORT"),
        (None, "nothing answers at 127.0.0.1:"),
    ],
)
def test_address_that_does_not_answer_creates_nothing(
    address: str | None, words: str, empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = address or f"127.0.0.1:{closed_port()}"
    (empty_folder / "sweep.json").write_text(json.dumps(GRID))
    assert main([*SEEDS, "--ray", address]) == 2
    assert words in capsys.readouterr().err
    assert [*empty_folder.iterdir()] == [empty_folder / "sweep.json"]
    with pytest.raises(UserError, match=r"ray is|nothing answers"):
        footlight.sweep(GRID, run_dir="new", ray=address)
    assert not (empty_folder / "new").exists()


def test_address_needs_a_token(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE")
    assert main([*SEEDS, "--ray", "head:6379"]) == 2
    assert "RAY_AUTH_MODE is not set to token" in capsys.readouterr().err
    assert not [*empty_folder.iterdir()]


@pytest.mark.parametrize("address", ["local", "127.0.0.1:1"])
def test_missing_ray_is_named(
    address: str, empty_folder: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(ray_cluster, "_require_address", lambda address: None)
    assert main([*SEEDS, "--ray", address]) == 2
    assert 'pip install "footlight[ray]"' in capsys.readouterr().err
    assert not [*empty_folder.iterdir()]


def test_ray_is_for_several_runs(
    finished_run: Path, empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "ddpg", "Pendulum-v1", "--ray", "local"]) == 2
    assert "--ray is for collectors or several seeds" in capsys.readouterr().err
    assert main(["resume", str(finished_run), "--steps", "40", "--ray", "local"]) == 2
    assert "is one run" in capsys.readouterr().err
    assert not [*empty_folder.iterdir()]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"environment": lambda: gymnasium.make("Pendulum-v1")}, "environment"),
        ({"hooks": [lambda context: None]}, "hooks"),
        ({"hooks": [footlight.every(10, lambda context: None)]}, "hooks"),
    ],
)
def test_python_objects_stay_here(given: dict[str, Any], name: str, empty_folder: Path) -> None:
    arguments = {"algorithm": "ddpg", "environment": "Pendulum-v1", "ray": "local", **given}
    with pytest.raises(UserError, match=f"{name} is a Python object"):
        footlight.train_seeds(seeds=2, run_dir="new", **arguments)
    assert not [*empty_folder.iterdir()]


def test_data_may_be_sent() -> None:
    config = footlight.SACConfig(gamma=0.9)
    assert dataclasses.is_dataclass(config)
    ray_cluster._require_plain(
        {
            "environment": "env.py:make",
            "config": config,
            "options": footlight.Options(steps=9),
            "hidden_sizes": (8, 8),
            "gamma": np.float32(0.9),
            "env_kwargs": {"sizes": [1, None]},
            "run_dir": Path("x"),
            "quiet": True,
        }
    )


class Nodes:
    """Stands for the module `ray`."""

    def __init__(self, *resources: dict[str, float]) -> None:
        self._resources = resources

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": each} for each in self._resources]


def test_run_has_to_fit_on_a_node() -> None:
    nodes = Nodes({"CPU": 2.0}, {"CPU": 4.0}, {"GPU": 1.0})
    ray_cluster._require_resources(Cluster(nodes, 4), 1)
    assert str(Cluster(nodes, 4)) == "3 nodes with 6 CPUs"
    with pytest.raises(UserError, match=r"no node has 5 CPUs, .* the largest has 4 - give fewer"):
        ray_cluster._require_resources(Cluster(nodes, 5), 1)
    with pytest.raises(UserError, match="no node has 1 CPU and a GPU"):
        ray_cluster._require_resources(Cluster(nodes, 1, gpus=1), 1)
    ray_cluster._require_resources(Cluster(nodes, 1), 6)
    with pytest.raises(UserError, match="the cluster has 6 CPUs, and 7 collectors take one each"):
        ray_cluster._require_resources(Cluster(nodes, 1), 7)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ("does not answer", "the node far does not answer"),
        ({"versions": {**VERSIONS, "torch": "1.0"}, "is_shared": True}, "far has torch 1.0, and"),
        ({"versions": {}, "is_shared": True}, "far has Python None, and this machine"),
        ({"versions": VERSIONS, "is_shared": False}, "/folder is not on the node far"),
    ],
)
def test_unfit_nodes_are_refused(found: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        ray_cluster._require_fit("far", "/folder/mark", found)


def test_probe_sees_shared_folders_only(empty_folder: Path) -> None:
    mark = empty_folder / "mark"
    assert not ray_cluster._probe(str(mark))["is_shared"]
    mark.touch()
    assert ray_cluster._probe(str(mark)) == {"versions": VERSIONS, "is_shared": True}


def test_folder_without_permission_creates_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *given: Any, **named: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(UserError, match=r"cannot write in .* - Permission denied - choose another"):
        ray_cluster._require_nodes(Nodes(), Path.cwd() / "new")


@pytest.mark.parametrize(
    ("with_token", "without", "words"),
    [
        ("", "AuthenticationError: ...", None),
        ("AuthenticationError: ...", "", "it refuses the token"),
        (None, None, "what is there is not Ray"),
        ("", "", "has no token - it takes commands from anyone"),
        ("", None, "has no token"),
    ],
)
def test_cluster_has_to_demand_a_token(
    with_token: str | None, without: str | None, words: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    answers = iter([with_token, without])
    monkeypatch.setattr(ray_cluster.subprocess, "Popen", lambda *given, **named: None)
    monkeypatch.setattr(ray_cluster, "_answer", lambda process, end: next(answers))
    if words is None:
        ray_cluster._require_token("head:6379")
    else:
        with pytest.raises(UserError, match=words):
            ray_cluster._require_token("head:6379")
