"""Trackers are readers of the run folder: nothing missing, nothing twice, at the right step."""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import footlight
from footlight.cli.main import main
from footlight.errors import UserError
from footlight.runs.trackers.track import Reader, require_trackers, track
from footlight.runs.trackers.wandb import WandB

CONFIG = {
    "format_version": 1,
    "algorithm": "sac",
    "environment": "Pendulum-v1",
    "seed": 1,
    "config": {"gamma": 0.9},
}
BINS = {"counts": [1, 2, 3], "low": -1.0, "high": 2.0}
EPISODES = [
    {"step": step, "env": env, "return": -float(step + env), "length": step}
    for step in (40, 90)
    for env in (0, 1)
]
LINES: dict[str, list[dict[str, Any]]] = {
    "metrics": [
        {"step": 50, "update": 5, "time_s": 0.5, "loss": 2.5},
        {"step": 100, "update": 9, "time_s": 1.0, "loss": 0.5},
    ],
    "episodes": EPISODES,
    "evaluations": [
        {
            "step": step,
            "mean_return": -1.5,
            "std_return": 0.5,
            "returns": [-1.0, -2.0],
            "lengths": [4, 5],
            "deterministic": True,
        }
        for step in (50, 100)
    ],
    "histograms": [
        {"step": 50, "weights": {"actor.0.weight": BINS}, "gradients": {"actor.0.weight": BINS}}
    ],
}
RESULT = {
    "status": "finished",
    "steps": 100,
    "updates": 9,
    "seconds": 1.0,
    "steps_per_second": 100.0,
}
GROUPS = {"metrics": "metrics", "episodes": "episode", "evaluations": "evaluation"}
SMALL: dict[str, Any] = {
    "hidden_sizes": (8, 8),
    "compile": "off",
    "quiet": True,
    "eval_episodes": 1,
    "preset": False,
}


def append(folder: Path, lines: dict[str, list[dict[str, Any]]]) -> None:
    for log, records in lines.items():
        with (folder / f"{log}.jsonl").open("a") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "videos").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "videos" / "step-000000100.mp4").write_bytes(b"film")
    append(folder, LINES)
    (folder / "result.json").write_text(
        json.dumps(RESULT | {"final_evaluation": LINES["evaluations"][1]})
    )
    return folder


Points = dict[str, list[tuple[int, Any]]]


def tensorboard_points(folder: Path) -> Points:
    """What TensorBoard's own reader finds: step and value of each point, by tag."""
    found = EventAccumulator(
        str(folder / "tensorboard"),
        size_guidance=dict.fromkeys(("scalars", "histograms", "tensors"), 0),
    )
    found.Reload()
    tags = found.Tags()
    points: Points = {
        tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in tags["scalars"]
    }
    points |= {
        tag: [(e.step, e.histogram_value) for e in found.Histograms(tag)]
        for tag in tags["histograms"]
    }
    return points | {
        tag: [(e.step, e.tensor_proto.string_val) for e in found.Tensors(tag)]
        for tag in tags["tensors"]
    }


def expected_points(folder: Path, single: Any = np.float32) -> Points:
    """Every number in a run folder's lines, by a second way."""
    points: Points = {}
    for log, group in GROUPS.items():
        for line in (folder / f"{log}.jsonl").read_text().splitlines():
            record = json.loads(line)
            for name, value in record.items():
                if type(value) in (int, float) and name not in ("step", "env"):
                    points.setdefault(f"{group}/{name}", []).append((record["step"], single(value)))
    return points


def of_logs(points: Points) -> Points:
    return {tag: found for tag, found in points.items() if tag.split("/")[0] in GROUPS.values()}


# The reader


def test_lines_come_once_and_whole(run_folder: Path) -> None:
    reader = Reader(run_folder)
    assert [record for log, record in reader.new_rows(ended=False) if log == "episodes"] == EPISODES
    assert list(reader.new_rows(ended=False)) == []
    with (run_folder / "episodes.jsonl").open("a") as file:
        file.write('{"step": 95, "ret')
        file.flush()
        assert list(reader.new_rows(ended=False)) == []
        file.write('urn": 1.0, "length": 3}\n')
    assert list(reader.new_rows(ended=False)) == [
        ("episodes", {"step": 95, "return": 1.0, "length": 3})
    ]
    assert [log for log, _ in reader.new_rows(ended=True)] == ["result"]


def test_a_broken_line_is_named(run_folder: Path) -> None:
    append(run_folder, {"metrics": [{"step": 1}]})
    with (run_folder / "metrics.jsonl").open("a") as file:
        file.write("{\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 4, is invalid"):
        list(Reader(run_folder).new_rows(ended=False))


# What is refused


def test_an_unknown_tracker_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"track is tensorbord - it must be any of tensorboard, wandb"
    ):
        footlight.train(
            "a2c", "CartPole-v1", track=["tensorbord"], run_dir=tmp_path / "run", **SMALL
        )
    with pytest.raises(UserError, match="did you mean 'tensorboard'"):
        track(tmp_path, ["tensorbord"])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    arguments = [
        "train",
        "a2c",
        "CartPole-v1",
        "--track",
        "wandb",
        "--run-dir",
        str(tmp_path / "run"),
        "--quiet",
    ]
    assert main(arguments) == 2
    with pytest.raises(
        UserError,
        match=r"wandb needs the package wandb - it is not installed - pip install 'footlight\[wandb\]'",
    ):
        require_trackers(["wandb"])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_named_wandb_is_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(UserError, match="not installed"):
        require_trackers(["wandb"])


def test_two_writers_at_a_time_are_refused(run_folder: Path) -> None:
    (run_folder / "tensorboard").mkdir()
    holder = os.open(run_folder / "tensorboard", os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(UserError, match="tensorboard is in use"):
        track(run_folder, ["tensorboard"])
    os.close(holder)
    track(run_folder, ["tensorboard"])


def test_no_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["track", str(tmp_path), "--track", "tensorboard"]) == 2
    assert "config.json is missing" in capsys.readouterr().err


def test_several_words_after_an_option(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = [
        "--track",
        "tensorboard",
        "--wandb-tags",
        "x",
        "y",
        "--steps",
        "60",
        "--run-dir",
        str(folder),
        "--wandb-group",
        "none",
    ]
    assert (
        main(
            [
                "train",
                "a2c",
                "CartPole-v1",
                *words,
                "--no-preset",
                "--compile=off",
                "--eval-episodes=1",
                "--quiet",
            ]
        )
        == 0
    )
    config = json.loads((folder / "config.json").read_text())
    chosen = [config[name] for name in ("track", "wandb_tags", "steps", "wandb_group")]
    assert chosen == [["tensorboard"], ["x", "y"], 60, None]
    assert tensorboard_points(folder)["result/steps"] == [(60, 60)]


# TensorBoard


def test_tensorboard_has_everything_once_however_often(run_folder: Path) -> None:
    for _ in range(2):
        assert main(["track", str(run_folder), "--track", "tensorboard"]) == 0
        points = tensorboard_points(run_folder)
        assert of_logs(points) == expected_points(run_folder)
        assert points["episode/return"] == [(40, -40), (40, -41), (90, -90), (90, -91)]
        assert points["result/mean_return"] == [(100, -1.5)]
        ((step, histogram),) = points["gradients/actor.0.weight"]
        assert (step, histogram.bucket, histogram.bucket_limit) == (50, [1, 2, 3], [0, 1, 2])
        assert (
            b'"gamma": 0.9'
            in points["config/text_summary" if "config/text_summary" in points else "config"][0][1][
                0
            ]
        )


def test_a_training_is_followed_and_so_is_its_resumption(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    settings = SMALL | {"num_envs": 2, "checkpoint_every": 500, "track_histograms": True}
    footlight.train(
        "a2c", "CartPole-v1", steps=1_500, run_dir=folder, track=("tensorboard",), **settings
    )
    assert (folder / "tensorboard.log").read_text() == ""
    first = tensorboard_points(folder)
    assert of_logs(first) == expected_points(folder)
    assert len(first["weights/actor_critic.actor.0.weight"]) == 20
    # as if killed at the end: LATEST names an earlier checkpoint, to which the logs are cut back
    (folder / "checkpoints" / "LATEST").write_text("step-000001000\n")
    footlight.resume(folder, steps=2_000, quiet=True)
    second = tensorboard_points(folder)
    assert of_logs(second) == expected_points(folder)
    lines = [
        json.loads(line)["step"] for line in (folder / "histograms.jsonl").read_text().splitlines()
    ]
    assert [step for step, _ in second["weights/actor_critic.actor.0.weight"]] == lines
    assert (lines, lines[-1]) == (sorted(set(lines)), 2_000)
    assert [step for step, _ in second["result/steps"]] == [2_000]
    config = json.loads((folder / "config.json").read_text())
    assert [config[name] for name in ("track", "wandb_group", "wandb_tags", "wandb_mode")] == [
        ["tensorboard"],
        None,
        [],
        None,
    ]


# Weights & Biases


def offline_records(path: Path) -> list[Any]:
    """The records of a .wandb file: a LevelDB log (7 bytes of header, blocks of 32 KiB, 7 bytes before each fragment)."""
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


def test_an_offline_run_of_wandb_has_everything_once_and_no_secret(
    run_folder: Path, tmp_path: Path
) -> None:
    key = "0123456789abcdef" * 2 + "01234567"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), address)
        homes = {
            f"WANDB_{name}_DIR": str(tmp_path / name)
            for name in ("CONFIG", "CACHE", "DATA", "ARTIFACT")
        }
        env = (
            os.environ
            | proxies
            | homes
            | {"WANDB_BASE_URL": address, "WANDB_API_KEY": key, "WANDB_DIR": str(tmp_path / "no")}
        )
        options = [
            "--wandb-mode",
            "offline",
            "--wandb-project",
            "p",
            "--wandb-group",
            "g",
            "--wandb-tags",
            "x",
            "y",
        ]
        for _ in range(2):
            command = [
                sys.executable,
                "-m",
                "footlight",
                "track",
                str(run_folder),
                "--track",
                "wandb",
                *options,
            ]
            done = subprocess.run(
                command, env=env, capture_output=True, text=True, timeout=120, check=False
            )
            assert done.returncode == 0, done.stderr
        with pytest.raises(BlockingIOError):
            server.accept()  # nobody has called
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
    """W&B's server, as far as it matters here: rows by run id; a run that is not resumed begins anew."""

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


def test_an_online_run_is_continued_with_what_is_new(run_folder: Path, fake: FakeWandb) -> None:
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


def test_after_an_online_run_that_was_cut_off_there_is_a_whole_one(
    run_folder: Path, fake: FakeWandb
) -> None:
    broken = WandB(run_folder, CONFIG)
    for log, record in Reader(run_folder).new_rows(ended=False):
        broken.write(log, record)  # and never closed
    track(run_folder, ["wandb"])
    assert fake.episodes == [(record["step"], record["return"]) for record in EPISODES]
    assert (len(fake.rows), fake.resume) == (2, [None, None])


def test_another_project_gets_a_run_of_its_own(run_folder: Path, fake: FakeWandb) -> None:
    track(run_folder, ["wandb"])
    footlight.Run(run_folder).track("wandb", wandb_project="other", wandb_tags=["x"])
    assert (len(fake.rows), fake.settings["project"], fake.settings["tags"]) == (2, "other", ("x",))
    assert len(fake.episodes) == len(EPISODES)


def test_wandb_switched_off_is_refused(
    run_folder: Path, fake: FakeWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(UserError, match="W&B's mode is disabled - nothing would be sent"):
        track(run_folder, ["wandb"])
    assert not (run_folder / "wandb.json").exists()


def test_what_a_tracker_stumbles_over_is_said(
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


# Old runs


def test_a_run_from_before_there_were_trackers_is_resumed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    footlight.train("a2c", "CartPole-v1", steps=60, run_dir=folder, **SMALL)
    config = json.loads((folder / "config.json").read_text())
    old = {name: value for name, value in config.items() if not name.startswith(("track", "wandb"))}
    assert len(old) == len(config) - 6
    (folder / "config.json").write_text(json.dumps(old))
    assert footlight.resume(folder, steps=90, quiet=True).result["status"] == "finished"  # type: ignore[index]


def test_a_folder_from_elsewhere_makes_nobody_delete_what_lies_beside_it(
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


def test_a_tracker_does_not_write_behind_a_link(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (run_folder / "tensorboard").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(
        UserError,
        match="tensorboard is a link - a tracker writes into the run folder only - remove it",
    ):
        track(run_folder, ["tensorboard"])
