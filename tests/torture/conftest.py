"""A short finished run, and a copy of it in the working folder to be damaged."""

import shutil
from pathlib import Path

import pytest
from tampering import TRAINED

import footlight


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    footlight.train("ddpg", "Pendulum-v1", run_dir=folder, **TRAINED)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, tmp_path / "run")
    return Path("run")
