"""Weights & Biases: every row once, continued runs, and nothing that is not in the run folder."""

import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tracked_run import CONFIG, EPISODES, RESULT, Points, append, expected_points, of_logs

import footlight
from footlight.errors import UserError
from footlight.runs.trackers.track import Reader, track
from footlight.runs.trackers.wandb import WandB


def offline_records(path: Path) -> list[Any]:
    """The records of a .wandb file.

    It is a LevelDB log: a header of 7 bytes, blocks of 32 KiB, 7 bytes before each fragment.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    data, records, whole, at = path.read_bytes(), [], b"", 7
    assert data[:4] == b":W&B"
    while at + 7 <= len(data):
        if 32_768 - at % 32_768 < 7:  # no room for a header: the block is padded
            at += 32_768 - at % 32_768
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or last fragment
            records.append(Record.FromString(whole))
            whole = b""
    return records


def items(entries: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in entries:
        *outer, name = entry.nested_key or [entry.key]
        inside = found
        for key in outer:
            inside = inside.setdefault(key, {})
        inside[name] = json.loads(entry.value_json)
    return found


def test_offline_run_has_every_row_once_and_no_secret(run_folder: Path, tmp_path: Path) -> None:
    key = "0123456789abcdef" * 2 + "01234567"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), address)
        kinds = ("CONFIG", "CACHE", "DATA", "ARTIFACT")
        homes = {f"WANDB_{name}_DIR": str(tmp_path / name) for name in kinds}
        own = {"WANDB_BASE_URL": address, "WANDB_API_KEY": key, "WANDB_DIR": str(tmp_path / "no")}
        env = os.environ | proxies | homes | own
        line = "--wandb-mode offline --wandb-project p --wandb-group g --wandb-tags x y"
        words = ["track", str(run_folder), "--track", "wandb", *line.split()]
        for _ in range(2):
            command = [sys.executable, "-m", "footlight", *words]
            done = subprocess.run(
                command, env=env, capture_output=True, text=True, timeout=120, check=False
            )
            assert done.returncode == 0, done.stderr
        with pytest.raises(BlockingIOError):
            server.accept()  # no connection was made
    (path,) = (run_folder / "wandb").glob("offline-run-*/*.wandb")  # the second replaced the first
    records = offline_records(path)
    (run,) = (record.run for record in records if record.HasField("run"))
    assert (run.project, run.run_group, list(run.tags)) == ("p", "g", ["x", "y"])
    assert run.run_id == json.loads((run_folder / "wandb.json").read_text())["id"]
    assert items(run.config.update)["config"] == {"gamma": 0.9}
    definitions = [record.metric for record in records if record.HasField("metric")]
    assert any(metric.glob_name == "*" and metric.step_metric == "step" for metric in definitions)

    rows = [items(record.history.item) for record in records if record.HasField("history")]
    points: Points = {}
    for row in rows:
        for name in row.keys() - {"step"}:
            points.setdefault(name, []).append((row["step"], row[name]))
    assert of_logs(points) == expected_points(run_folder, single=float)
    assert points["weights/actor.0.weight"] == [
        (50, {"_type": "histogram", "values": [1, 2, 3], "bins": [-1, 0, 1, 2]})
    ]
    assert [(step, video["_type"]) for step, video in points["video"]] == [(100, "video-file")]
    ((step, table),) = points["final_evaluation"]
    assert step == 100
    content = json.loads((path.parent / "files" / table["path"]).read_text())
    assert content == {
        "columns": ["episode", "return", "length"],
        "data": [[1, -1.0, 4], [2, -2.0, 5]],
    }
    summary = {
        name: x
        for record in records
        if record.HasField("summary")
        for name, x in items(record.summary.update).items()
    }
    assert (summary["status"], summary["result/mean_return"]) == ("finished", -1.5)
    assert [record.exit.exit_code for record in records if record.HasField("exit")] == [0]

    written = [file.read_bytes() for file in run_folder.rglob("*") if file.is_file()]
    assert len(written) > 8
    assert not any(key.encode() in content for content in written)


class FakeWandb:
    """A fake W&B server: rows by run id; a run that is not resumed starts from scratch."""

    Settings = Video = Histogram = Table = staticmethod(lambda *given, **named: {**named})

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.summary: dict[str, Any] = {}
        self.resume: list[str | None] = []

    def init(self, *, id: str, resume: str | None, **settings: Any) -> "FakeWandb":
        assert resume is None or id in self.rows
        self.id, self.settings = id, settings
        self.resume.append(resume)
        self.rows[id] = self.rows.get(id, []) if resume else []
        return self

    def define_metric(self, *given: Any, **named: Any) -> None: ...

    def log(self, row: dict[str, Any]) -> None:
        self.rows[self.id].append(row)

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code

    @property
    def episodes(self) -> list[tuple[int, float]]:
        return [
            (row["step"], row["episode/return"])
            for row in self.rows[self.id]
            if "episode/return" in row
        ]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)  # type: ignore[arg-type]
    monkeypatch.setattr("footlight.runs.trackers.track.require_trackers", lambda names: None)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")  # put back afterwards
    return fake


def test_online_run_is_continued_with_new_rows(run_folder: Path, fake: FakeWandb) -> None:
    track(run_folder, ["wandb"])
    track(run_folder, ["wandb"])
    returns = [(record["step"], record["return"]) for record in EPISODES]
    assert fake.episodes == returns
    # cut back to step 40, resumed, and written again up to step 120
    (run_folder / "episodes.jsonl").write_text("")
    new = [{"step": 120, "env": env, "return": -float(env), "length": 3} for env in (0, 1, 2)]
    append(run_folder, {"episodes": [*EPISODES, *new]})
    (run_folder / "result.json").write_text(
        json.dumps(RESULT | {"steps": 120, "status": "diverged"})
    )
    track(run_folder, ["wandb"])
    assert fake.episodes == [*returns, (120, 0), (120, -1), (120, -2)]
    assert (len(fake.rows), fake.resume, fake.exit_code) == (1, [None, "must", "must"], 1)
    assert fake.summary["result/steps"] == 120


def test_interrupted_online_run_is_replaced_by_a_complete_one(
    run_folder: Path, fake: FakeWandb
) -> None:
    broken = WandB(run_folder, CONFIG)
    for log, record in Reader(run_folder).new_rows(ended=False):
        broken.write(log, record)  # and never closed
    track(run_folder, ["wandb"])
    assert fake.episodes == [(record["step"], record["return"]) for record in EPISODES]
    assert (len(fake.rows), fake.resume) == (2, [None, None])


def test_another_project_gets_its_own_run(run_folder: Path, fake: FakeWandb) -> None:
    track(run_folder, ["wandb"])
    footlight.Run(run_folder).track("wandb", wandb_project="other", wandb_tags=["x"])
    assert (len(fake.rows), fake.settings["project"], fake.settings["tags"]) == (2, "other", ("x",))
    assert len(fake.episodes) == len(EPISODES)


def test_disabled_wandb_is_rejected(
    run_folder: Path, fake: FakeWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(UserError, match="W&B's mode is disabled - nothing would be sent"):
        track(run_folder, ["wandb"])
    assert not (run_folder / "wandb.json").exists()


def test_error_of_a_tracker_is_reported(
    run_folder: Path, fake: FakeWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**settings: Any) -> None:
        raise ConnectionError("no route to host\nand more")

    track(run_folder, ["wandb"])
    state = (run_folder / "wandb.json").read_text()
    monkeypatch.setattr(fake, "init", refuse)
    with pytest.raises(
        UserError,
        match="wandb did not accept the run - ConnectionError: no route to host - fix that",
    ) as raised:
        track(run_folder, ["wandb"])
    assert "\n" not in str(raised.value)
    assert (run_folder / "wandb.json").read_text() == state


def test_untrusted_run_folder_cannot_delete_its_neighbors(
    run_folder: Path, fake: FakeWandb
) -> None:
    victim = run_folder.parent / "victim"
    victim.mkdir()
    (run_folder / "wandb" / "offline-run-1-x").mkdir(parents=True)
    state = {"project": "footlight", "mode": "offline", "id": "x/../../../victim"}
    (run_folder / "wandb.json").write_text(json.dumps(state))
    track(run_folder, ["wandb"], wandb_mode="offline")
    assert victim.is_dir()
    assert json.loads((run_folder / "wandb.json").read_text())["id"] != state["id"]
