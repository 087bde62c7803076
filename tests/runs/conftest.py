"""The run folder that trackers read in their tests."""

from pathlib import Path

import pytest
from tracked_run import write_run


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    write_run(tmp_path / "run")
    return tmp_path / "run"
