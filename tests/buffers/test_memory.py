"""What a buffer takes and what there is: known, and said, before anything is built."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from footlight.buffers import memory
from footlight.buffers.replay import Replay
from footlight.errors import UserError
from footlight.types import BoxAction, Spaces

PENDULUM = Spaces(
    observation_shape=(3,),
    observation_dtype="float32",
    action=BoxAction(low=np.array([-2], np.float32), high=np.array([2], np.float32)),
)
MILLION = SimpleNamespace(
    gamma=0.99,
    n_steps=1,
    batch_size=256,
    buffer_size=1_000_000,
    learning_starts=0,
    updates_per_step=1.0,
)


def test_a_million_transitions_of_pendulum() -> None:
    replay = Replay(PENDULUM, 1, MILLION)
    # Observation, action, reward, next observation, discount
    assert replay.row_bytes == 4 * (3 + 1 + 1 + 3 + 1)
    assert replay.num_bytes == 36_000_000 < 40_000_000


def test_refusal_names_the_largest_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 1_000_000)
    # nine tenths of a million bytes hold 25,000 rows of 36
    with pytest.raises(
        UserError,
        match=r"buffer_size 1,000,000 needs 36\.0 MB - 1\.0 MB are free - .* is about 25,000$",
    ):
        Replay(PENDULUM, 1, MILLION)
    assert (
        Replay(PENDULUM, 1, SimpleNamespace(**{**vars(MILLION), "buffer_size": 25_000})).num_bytes
        == 900_000
    )


def test_nothing_is_refused_where_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 10**15 - 1)
    with pytest.raises(UserError):
        memory.require_bytes(10**15, 1, 10**15)
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    memory.require_bytes(10**15, 1, 10**15)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (34e6, "34.0 MB"),
        (2.5e9, "2.5 GB"),
        (3e15, "3000.0 TB"),
    ],
)
def test_sizes_in_words(count: float, text: str) -> None:
    assert memory.format_bytes(count) == text


@pytest.fixture
def control_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of /sys/fs/cgroup, on a system that has 5,000,000 bytes."""
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(memory, "_meminfo", lambda: 5_000_000)
    return tmp_path


def write(folder: Path, **files: str) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


def test_no_control_group(control_group: Path) -> None:
    assert memory.available_bytes() == 5_000_000


@pytest.mark.parametrize(
    ("limit", "usage", "free"),
    [
        ("1000000", "400000", 600_000),
        ("1000000", "1000001", 0),
        ("9000000", "400000", 5_000_000),
        ("max", "400000", 5_000_000),
    ],
)
def test_control_group_version_two(control_group: Path, limit: str, usage: str, free: int) -> None:
    write(control_group, memory__max=limit, memory__current=usage)
    assert memory.available_bytes() == free


@pytest.mark.parametrize(
    ("limit", "usage", "free"),
    [
        ("1000000", "400000", 600_000),
        ("1000000", "1000001", 0),
        ("9223372036854771712", "400000", 5_000_000),
    ],
)
def test_control_group_version_one(control_group: Path, limit: str, usage: str, free: int) -> None:
    write(control_group / "memory", memory__limit_in_bytes=limit, memory__usage_in_bytes=usage)
    assert memory.available_bytes() == free


@pytest.mark.parametrize(
    ("own", "folder", "names"),
    [
        ("0::/job/step", "job", ("memory__max", "memory__current")),
        (
            "3:cpuset:/\n4:memory:/job/step\n0::/",
            "memory/job",
            ("memory__limit_in_bytes", "memory__usage_in_bytes"),
        ),
    ],
)
def test_limits_of_the_groups_around_count(
    control_group: Path, own: str, folder: str, names: tuple[str, str]
) -> None:
    (control_group / "own").write_text(own + "\n")
    for group, limit in ((folder, "1000000"), (folder + "/step", "2000000")):
        (control_group / group).mkdir(parents=True)
        write(control_group / group, **dict(zip(names, (limit, "400000"), strict=True)))
    assert memory.available_bytes() == 600_000


def test_cached_files_that_the_kernel_can_reclaim_count_as_free(control_group: Path) -> None:
    # 900,000 of 1,000,000 are in use, but 300,000 of these are cached files, such as checkpoints
    write(
        control_group,
        memory__max="1000000",
        memory__current="900000",
        memory__stat="anon 600000\ninactive_file 300000",
    )
    assert memory.available_bytes() == 400_000


def test_a_system_that_tells_nothing(control_group: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_meminfo", lambda: None)
    assert memory.available_bytes() is None
    write(control_group, memory__max="1000000", memory__current="400000")
    assert memory.available_bytes() == 600_000


def test_this_machine_has_memory() -> None:
    free = memory.available_bytes()
    assert free is None or 0 < free < 10**15
