"""Working folders for tests of exports and videos, and what exports have in common."""

import functools
import importlib
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


@pytest.fixture(scope="module")
def operators_read_once() -> Iterator[None]:
    """The operators of ONNX are read from their source once, not in each export, where they take
    half of the time."""
    registration = importlib.import_module("torch.onnx._internal.exporter._registration")
    apis = registration.onnxscript_apis
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apis, "get_torchlib_ops", functools.cache(apis.get_torchlib_ops))
        yield
