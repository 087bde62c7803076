"""Incomplete files in the compiler's cache: recognized, removed, and compiled again."""

import _ctypes
import ctypes
import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from footlight.learning import compilation
from footlight.learning.agent import Agent
from footlight.learning.announcing import COMPILING
from footlight.learning.compiler_cache import (
    MAX_REPAIRS,
    CacheBroken,
    CompilerMissing,
    cache_folder,
    library_folder,
    remove_broken,
    remove_incomplete,
    retried,
)


def failure(file: Path) -> Exception:
    """What loading a file says, as the compiler wraps it."""
    try:
        ctypes.CDLL(str(file))
    except OSError as error:
        wrapped = RuntimeError("the backend failed")
        wrapped.__cause__ = error
        return wrapped
    raise AssertionError("it was loaded")


def test_files_that_the_loader_calls_incomplete_are_removed(tmp_path: Path) -> None:
    cache = tmp_path / "the cache"
    (cache / "ab").mkdir(parents=True)
    for name, content in (("empty.so", b""), ("zeros.so", bytes(5000))):
        file = cache / "ab" / name
        file.write_bytes(content)
        error = failure(file)
        assert remove_broken(error, tmp_path / "another") == []
        assert file.exists()
        assert remove_broken(error, cache) == [file.resolve()]
        assert not file.exists()
        assert remove_broken(error, cache) == []  # nothing is there to be removed


@pytest.mark.parametrize(
    ("message", "is_broken"),
    [
        ("/usr/bin/ld: {file}: file not recognized: file format not recognized", True),
        ("{file}: ELF load command past end of file", True),
        ("{file}: undefined symbol: sin", False),
        ("g++ -o {file} failed: there is no space", False),
    ],
)
def test_other_failures_remove_nothing(message: str, is_broken: bool, tmp_path: Path) -> None:
    file = tmp_path / "kernel.o"
    file.touch()
    found = remove_broken(RuntimeError(f"In file x:\n{message.format(file=file)}\nend"), tmp_path)
    assert found == [file.resolve()] * is_broken
    assert file.exists() != is_broken


def test_libraries_that_end_too_early_are_removed_before_one_is_loaded(tmp_path: Path) -> None:
    whole = Path(_ctypes.__file__).read_bytes()
    (tmp_path / "ab").mkdir()
    (tmp_path / "locks").mkdir()
    sizes = {"empty": 0, "begun": 40, "half": len(whole) // 2, "almost": len(whole) - 1}
    for name, size in {**sizes, "whole": len(whole), "locked": 0}.items():
        (tmp_path / "ab" / f"{name}.main.so").write_bytes(whole[:size])
        (tmp_path / "locks" / f"{name}.lock").touch()
    with (tmp_path / "locks" / "locked.lock").open("rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        found = remove_incomplete(tmp_path)
    assert {file.name.partition(".")[0] for file in found} == {*sizes}
    assert {file.name for file in (tmp_path / "ab").iterdir()} == {
        "whole.main.so",
        "locked.main.so",
    }
    assert [file.name for file in remove_incomplete(tmp_path)] == ["locked.main.so"]
    assert remove_incomplete(tmp_path / "nowhere") == []


def test_links_out_of_the_cache_are_not_followed(tmp_path: Path) -> None:
    cache, file = tmp_path / "cache", tmp_path / "mine.so"
    cache.mkdir()
    file.touch()
    for name in (f"{cache}/../mine.so", f"{cache}/link.so"):
        (cache / "link.so").unlink(missing_ok=True)
        (cache / "link.so").symlink_to(file)
        assert remove_broken(OSError(f"{name}: file too short"), cache) == []
    assert file.exists()


def test_compiled_updates_are_in_the_users_folder_unless_a_place_is_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Others can write into the system's temporary folder, which is cleared now and then."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    own = tmp_path / "footlight" / "compiled"
    assert library_folder() == own
    assert library_folder() == own  # also once the compiler's folder is in the environment
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "given"))
    assert library_folder() == tmp_path / "given" / "footlight"


def test_user_without_a_home_keeps_them_beside_the_compilers_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert library_folder() == cache_folder() / "footlight"


def test_tries_end(tmp_path: Path) -> None:
    notices: list[str] = []

    def broken() -> None:
        raise CacheBroken("the compiler had left x.so incomplete")

    with pytest.raises(CompilerMissing, match=r"left x\.so incomplete"):
        retried(broken, notices.append)
    assert len(notices) == MAX_REPAIRS


def test_an_agent_compiles_again_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache, notices = tmp_path / "cache", list[str]()
    cache.mkdir()
    (cache / "kernel.so").touch()

    def inductor(
        function: Callable[..., None], tensors: Any, settings: Any
    ) -> Callable[[list[Any]], None]:
        if (cache / "kernel.so").exists():
            raise failure(cache / "kernel.so")
        return lambda given: function(*given)

    monkeypatch.setattr(compilation, "_inductor", inductor)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(cache))
    monkeypatch.setenv("CXX", "true")
    seen, choice = gymnasium.spaces.Box(-1, 1, (3,), np.float32), gymnasium.spaces.Discrete(2)
    agent = Agent(
        "actor-critic", seen, choice, compile="on", hidden_sizes=(4,), notice=notices.append
    )
    with torch.no_grad():
        agent.compile()
    assert agent.compiled
    assert len(agent.learner.compilation.steps) == 1
    assert notices[0] == COMPILING
    assert len(notices) == 2
    assert str(cache / "kernel.so") in notices[1]
    assert notices[1].endswith("compiling it again")
