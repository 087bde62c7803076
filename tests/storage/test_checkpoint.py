"""Checkpoints: there and back, and every way in which a folder can be broken."""

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from saved import rewrite, saved

from footlight.errors import UserError
from footlight.storage import checkpoint
from footlight.types import Array


@pytest.mark.parametrize(
    "array",
    [
        np.array(1.5, np.float32),  # no dimension
        np.zeros((0, 3), np.float32),
        np.array([np.nan, -0.0, np.inf, 1e-45], np.float32),
        np.array([2**63 - 1, -(2**63)]),
        np.array([True, False]),
        np.arange(12, dtype=np.uint8).reshape(3, 4).T,  # not in C order
        np.arange(10.0)[::-2],
        np.float64(0.1),
    ],
)
def test_every_array_comes_back_bit_for_bit(tmp_path: Path, array: Array) -> None:
    checkpoint.write(tmp_path / "a", {"group": {"a.b": array}}, {})
    again = checkpoint.read_arrays(tmp_path / "a", "group")["a.b"]
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert again.tobytes() == np.asarray(array, order="C").tobytes()


def test_manifest_comes_back(tmp_path: Path) -> None:
    large = {
        "streams": {"update": {"state": 2**127 + 1}},
        "seconds": 0.1,
        "best": None,
        "algorithm": "naïve",
    }
    manifest = checkpoint.read_manifest(saved(tmp_path / "a", **large))
    assert {name: manifest[name] for name in large} == large
    assert manifest["format_version"] == checkpoint.FORMAT_VERSION
    assert set(manifest["files"]) == {"agent.safetensors", "buffer.safetensors"}


def test_writing_again_replaces_the_folder(tmp_path: Path) -> None:
    folder = saved(tmp_path / "a")
    checkpoint.write(folder, {"other": {"x": np.ones(1)}}, {"step": 6})
    assert sorted(path.name.partition("-")[0] for path in folder.iterdir()) == [
        "manifest.json",
        "other",
    ]
    assert checkpoint.read_manifest(folder)["step"] == 6
    assert checkpoint.read_arrays(folder, "other")["x"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


# Broken folders


@pytest.mark.parametrize("place", [0, 60, -1])
def test_damaged_file_is_rejected(tmp_path: Path, place: int) -> None:
    path = saved(tmp_path / "a") / "agent.safetensors"
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(
        UserError,
        match=r"agent\.safetensors is damaged - its SHA-256 differs from the one in the manifest",
    ):
        checkpoint.read_arrays(path.parent, "agent")
    assert checkpoint.read_arrays(path.parent, "buffer")


def test_truncated_or_missing_file_is_rejected(tmp_path: Path) -> None:
    path = saved(tmp_path / "a") / "agent.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match="is damaged"):
        checkpoint.read_arrays(path.parent, "agent")
    path.unlink()
    with pytest.raises(UserError, match=r"agent\.safetensors is missing"):
        checkpoint.read_arrays(path.parent, "agent")
    with pytest.raises(UserError, match="has no none - this cannot be read from it"):
        checkpoint.read_arrays(path.parent, "none")


class Payload:
    """Unpickling this makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_pickle_is_rejected_unopened(tmp_path: Path) -> None:
    trace, file = tmp_path / "trace", tmp_path / "agent.pkl"
    file.write_bytes(pickle.dumps(Payload(trace)))
    with pytest.raises(
        UserError,
        match=r"agent\.pkl is a pickle, which may hold code - give a run folder, a checkpoint or",
    ):
        checkpoint.find(file)
    # In the place of a group, with the hash that the manifest wants
    folder = saved(tmp_path / "a")
    (folder / "agent.safetensors").write_bytes(file.read_bytes())
    record = {"bytes": file.stat().st_size, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    rewrite(
        folder, files={**checkpoint.read_manifest(folder)["files"], "agent.safetensors": record}
    )
    with pytest.raises(UserError, match=r"agent\.safetensors cannot be read - SafetensorError"):
        checkpoint.read_arrays(folder, "agent")
    assert not trace.exists()


# Writing that fails, or was cut short


# Rings in segments


# Finding


def test_find_returns_the_newest_intact_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    names = ["step-000000002", "step-000000010", "step-000000010-1", "step-1000000000"]
    folders = [saved(tmp_path / "checkpoints" / name) for name in names]
    for name in ("step-x", "step-000000099", ".step-000000100.tmp", "step-000000100-1-2"):
        (tmp_path / "checkpoints" / name).mkdir()  # without a manifest, or with another name
    (tmp_path / "checkpoints" / "step-9999999999").symlink_to(saved(tmp_path / "elsewhere"))
    said: list[str] = []
    while folders:
        newest = folders.pop()
        assert checkpoint.find(tmp_path, said.append) == newest
        assert checkpoint.find(newest) == newest
        (newest / "agent.safetensors").write_bytes(b"no")
        assert checkpoint.find(newest) == newest  # what is named is not replaced
    assert [text.splitlines()[1].split(",")[0] for text in said] == [
        f"using {name}" for name in reversed(names[:-1])
    ]
    with pytest.raises(UserError, match=r"agent\.safetensors is damaged .*\n.*no other checkpoint"):
        checkpoint.find(tmp_path)


@pytest.mark.parametrize(
    "name", ["step-9", "", "..", "../checkpoints/step-1", "/", "step-1/../step-1"]
)
def test_find_refuses_a_pointer_to_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "checkpoints").mkdir()
    folder = saved(tmp_path / "checkpoints" / "step-1")
    pointer = tmp_path / "checkpoints" / "BEST"
    pointer.write_text("step-1\n")
    assert checkpoint.find(pointer) == folder
    pointer.write_text(name)
    with pytest.raises(UserError, match="there is no such checkpoint beside it"):
        checkpoint.find(pointer)


def test_find_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no folder .*nowhere"):
        checkpoint.find(tmp_path / "nowhere")
    with pytest.raises(UserError, match="has nothing to load - it is not a run folder"):
        checkpoint.find(tmp_path)


# Filling arrays in place


def test_copy_into_fills_in_place() -> None:
    target = {"a": np.zeros(3, np.float32), "b": np.zeros((), np.int64)}
    places = {name: array.__array_interface__["data"] for name, array in target.items()}
    checkpoint.copy_into(target, {"b": np.array(7), "a": np.arange(3, dtype=np.float32)}, Path("x"))
    assert target["a"].tolist() == [0, 1, 2]
    assert target["b"] == 7
    assert {name: array.__array_interface__["data"] for name, array in target.items()} == places


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"b": np.zeros(3, np.float32)}, r"x: b is float32\[3\] - this agent needs float32\[2\]"),
        ({"b": np.zeros(2)}, r"b is float64\[2\] - this agent needs float32\[2\]"),
        ({"b": np.zeros((1, 2), np.float32)}, r"b is float32\[1, 2\] - "),  # would be broadcast
        ({"c": np.zeros(1)}, r"c is float64\[1\] - this agent needs missing"),
        ({"b": None}, r"b is missing - this agent needs float32\[2\]"),
    ],
)
def test_mismatched_arrays_are_rejected_before_anything_is_copied(
    wrong: dict[str, Any], message: str
) -> None:
    target = {"a": np.zeros(1, np.float32), "b": np.zeros(2, np.float32)}
    given = {"a": np.ones(1, np.float32), "b": np.ones(2, np.float32), **wrong}
    with pytest.raises(UserError, match=message):
        checkpoint.copy_into(
            target, {name: array for name, array in given.items() if array is not None}, Path("x")
        )
    assert not target["a"].any()
    assert not target["b"].any()


def test_misspelled_name_of_a_checkpoint_is_suggested(tmp_path: Path) -> None:
    (tmp_path / "LATEST").write_text("step-000000001")
    (tmp_path / "001").mkdir()
    with pytest.raises(UserError, match=r"there is no folder .*LAST - did you mean 'LATEST'\?$"):
        checkpoint.find(tmp_path / "LAST")
    with pytest.raises(UserError, match=r"there is no folder .*002 - give a run folder"):
        checkpoint.find(tmp_path / "002")
