"""Working folders for tests of exports and videos."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from corridor import FAILING
from exported import CHOICE, learner


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An agent's folder, with a file in the place of the export."""
    monkeypatch.chdir(tmp_path)
    learner("a2c", CHOICE).save("agent")
    Path("policy.onnx").write_text("before")
    return tmp_path


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    FAILING.clear()
    yield
    FAILING.clear()
