"""Checkpoints: there and back, and every way in which a folder can be broken."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import SafetensorError

from footlight import checkpoint
from footlight.errors import StorageFault, UserError
from footlight.types import Array

GROUPS = {
    "agent": {"actor": np.arange(6, dtype=np.float32), "count": np.array([3])},
    "buffer": {"rows": np.zeros((2, 3), np.uint8)},
}


def saved(folder: Path, **manifest: Any) -> Path:
    checkpoint.write(folder, GROUPS, {"step": 5, **manifest})
    return folder


def rewrite(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / checkpoint.MANIFEST).read_text())
    (folder / checkpoint.MANIFEST).write_text(json.dumps(manifest | changes))


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
    large = {"streams": {"state": 2**127 + 1}, "seconds": 0.1, "best": None, "name": "naïve"}
    manifest = checkpoint.read_manifest(saved(tmp_path / "a", **large))
    assert {name: manifest[name] for name in large} == large
    assert manifest["format_version"] == checkpoint.FORMAT_VERSION
    assert set(manifest["files"]) == {"agent.safetensors", "buffer.safetensors"}


def test_writing_again_replaces_the_folder(tmp_path: Path) -> None:
    folder = saved(tmp_path / "a")
    checkpoint.write(folder, {"other": {"x": np.ones(1)}}, {"step": 6})
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "other.safetensors"]
    assert checkpoint.read_manifest(folder)["step"] == 6
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


# Broken folders


@pytest.mark.parametrize("place", [0, 60, -1])
def test_a_damaged_file_is_refused(tmp_path: Path, place: int) -> None:
    path = saved(tmp_path / "a") / "agent.safetensors"
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"agent\.safetensors is damaged - its SHA-256 is not the one in the manifest"):
        checkpoint.read_arrays(path.parent, "agent")
    assert checkpoint.read_arrays(path.parent, "buffer")


def test_a_truncated_or_missing_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a") / "agent.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match="is damaged"):
        checkpoint.read_arrays(path.parent, "agent")
    path.unlink()
    for group in ("agent", "none"):
        with pytest.raises(UserError, match=rf"{group}\.safetensors cannot be read"):
            checkpoint.read_arrays(path.parent, group)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "a")
    rewrite(folder, format_version=checkpoint.FORMAT_VERSION + 1)
    message = rf"has format {checkpoint.FORMAT_VERSION + 1} - .* knows up to {checkpoint.FORMAT_VERSION} - upgrade footlight"
    for read in (lambda: checkpoint.read_manifest(folder), lambda: checkpoint.read_arrays(folder, "agent")):
        with pytest.raises(UserError, match=message):
            read()


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"format_version": "new"}', '{"format_version": null}', "\udcff"])
def test_a_broken_manifest_is_refused(tmp_path: Path, text: str) -> None:
    folder = saved(tmp_path / "a")
    (folder / checkpoint.MANIFEST).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=r"manifest\.json cannot be read"):
        checkpoint.read_manifest(folder)


class Payload:
    """Unpickling this makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_pickle_is_refused_and_not_opened(tmp_path: Path) -> None:
    trace, file = tmp_path / "trace", tmp_path / "agent.pkl"
    file.write_bytes(pickle.dumps(Payload(trace)))
    with pytest.raises(UserError, match=r"there is no folder .*agent\.pkl - give a run folder, a checkpoint or a saved agent"):
        checkpoint.find(file)
    # In the place of a group, with the hash that the manifest wants
    folder = saved(tmp_path / "a")
    (folder / "agent.safetensors").write_bytes(file.read_bytes())
    rewrite(folder, files={"agent.safetensors": {"sha256": checkpoint._sha256(file)}})
    with pytest.raises(UserError, match=r"agent\.safetensors cannot be read - SafetensorError"):
        checkpoint.read_arrays(folder, "agent")
    assert not trace.exists()


# Writing that fails, or was cut short


def half_written(folder: Path) -> Path:
    """What a process killed in the midst leaves behind; in a container, a new process may have the same id."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    (temporary / "agent.safetensors").write_bytes(b"half")
    return temporary


def test_half_a_checkpoint_is_never_found(tmp_path: Path) -> None:
    half_written(tmp_path / "checkpoints" / "step-000000010")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="the run has saved no checkpoint yet"):
        checkpoint.find(tmp_path)


def test_half_a_checkpoint_is_in_nobodys_way(tmp_path: Path) -> None:
    half_written(tmp_path / "a")
    assert checkpoint.read_manifest(saved(tmp_path / "a"))["step"] == 5
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def no_space(*given: Any, **more: Any) -> Any:
    raise OSError(28, "No space left on device")


def no_space_for_tensors(*given: Any, **more: Any) -> Any:
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")  # what it does raise


rename = Path.rename


def no_rename_into_place(path: Path, target: Path) -> Path:
    return no_space() if path.suffix == ".tmp" else rename(path, target)


@pytest.mark.parametrize(
    ("where", "name", "failure"),
    [
        (checkpoint, "_flush", no_space),
        (checkpoint, "write_text", no_space),
        (checkpoint, "save_file", no_space_for_tensors),
        (Path, "mkdir", no_space),
        (Path, "rename", no_rename_into_place),
    ],
)
def test_the_last_one_is_kept_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, failure: Any
) -> None:
    folder = saved(tmp_path / "a")
    with monkeypatch.context() as broken:
        broken.setattr(where, name, failure)
        with pytest.raises(StorageFault, match=r"No space left on device .*what was there before is kept"):
            checkpoint.write(folder, GROUPS, {"step": 6})
    assert checkpoint.read_manifest(folder)["step"] == 5
    assert checkpoint.read_arrays(folder, "agent")["count"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


# Finding


def test_find_follows_latest(tmp_path: Path) -> None:
    first, second = (saved(tmp_path / "checkpoints" / f"step-{step}") for step in (1, 2))
    pointer = tmp_path / "checkpoints" / "LATEST"
    for folder in (first, second, first):
        checkpoint.write_text(pointer, folder.name + "\n")
        assert checkpoint.find(tmp_path) == folder
        assert checkpoint.find(folder) == folder
    assert sorted(path.name for path in pointer.parent.iterdir()) == ["LATEST", "step-1", "step-2"]


@pytest.mark.parametrize("name", ["step-9", "", "..", "../checkpoints/step-1", "/", "step-1/../step-1"])
def test_find_refuses_a_pointer_to_elsewhere(tmp_path: Path, name: str) -> None:
    saved(tmp_path / "checkpoints" / "step-1")
    (tmp_path / "checkpoints" / "LATEST").write_text(name)
    with pytest.raises(UserError, match="there is no such checkpoint beside it"):
        checkpoint.find(tmp_path)


def test_find_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no folder .*nowhere"):
        checkpoint.find(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds nothing to load - it is no run folder"):
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
        ({"b": np.zeros(3, np.float32)}, r"x: b is float32\[3\] - this agent wants float32\[2\]"),
        ({"b": np.zeros(2)}, r"b is float64\[2\] - this agent wants float32\[2\]"),
        ({"b": np.zeros((1, 2), np.float32)}, r"b is float32\[1, 2\] - "),  # would be broadcast
        ({"c": np.zeros(1)}, r"c is float64\[1\] - this agent wants missing"),
        ({"b": None}, r"b is missing - this agent wants float32\[2\]"),
    ],
)
def test_a_misfit_is_refused_before_anything_changes(wrong: dict[str, Any], message: str) -> None:
    target = {"a": np.zeros(1, np.float32), "b": np.zeros(2, np.float32)}
    given = {"a": np.ones(1, np.float32), "b": np.ones(2, np.float32), **wrong}
    with pytest.raises(UserError, match=message):
        checkpoint.copy_into(target, {name: array for name, array in given.items() if array is not None}, Path("x"))
    assert not target["a"].any()
    assert not target["b"].any()


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"])
def test_mapped_arrays_are_those_that_were_written(tmp_path: Path, dtype: str) -> None:
    arrays = {"a": np.arange(3).astype(dtype), "b": np.arange(6).reshape(2, 3).astype(dtype), "c": np.zeros((0, 4), dtype)}
    checkpoint.write(tmp_path / "folder", {"group": arrays}, {})
    mapped = checkpoint.read_arrays(tmp_path / "folder", "group", mapped=True)
    assert mapped.keys() == arrays.keys()
    for name, array in arrays.items():
        assert mapped[name].dtype == array.dtype
        np.testing.assert_array_equal(mapped[name], array)
        assert not mapped[name].flags.writeable
