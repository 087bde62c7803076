"""`inspect` and `verify`: what they say, and that they run nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import faulty
import pytest

import footlight
from footlight.cli.main import main
from footlight.runs.verification import inspect, verify


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    footlight.train(
        "ddpg", "Pendulum-v1", preset=False, hidden_sizes=(8,), steps=250, eval_every=100,
        eval_episodes=1, checkpoint_every=100,
        learning_starts=20, compile="off", quiet=True, run_dir=folder,
    )  # fmt: skip
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-r", trained, tmp_path / "run"], check=True)
    return tmp_path / "run"


def faults(path: Path) -> dict[str, str]:
    return {name: fault for name, fault in verify(path) if fault}


def test_inspect_shows_the_content(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = inspect(run)
    assert content["run"]["environment"] == "Pendulum-v1"
    assert content["step"] == 250
    assert content["checkpoints"] == ["step-000000250", "step-000000200"]
    assert content["arrays"]["buffer"]["rows.observation"] == {"dtype": "F32", "shape": [250, 3]}
    assert content["best"]["step"] in (100, 200, 250)
    assert main(["inspect", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(content))
    assert main(["inspect", str(run / "checkpoints" / "step-000000200")]) == 0
    assert "ddpg on Pendulum-v1 | preset None | seed 0\nstep 200 of 250" in capsys.readouterr().out


def test_inspect_and_verify_import_neither_torch_nor_gymnasium(run: Path) -> None:
    code = (
        "import sys, footlight.cli.main as c; exit_code = c.main(sys.argv[1:]); "
        "print(exit_code, sorted({'torch', 'gymnasium'} & set(sys.modules)))"
    )
    for command in ("inspect", "verify"):
        words = [sys.executable, "-c", code, command, str(run)]
        found = subprocess.run(words, check=True, capture_output=True, text=True)
        assert found.stdout.splitlines()[-1] == "0 []"


def test_terminal_codes_of_strangers_are_not_printed(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from footlight.storage import checkpoint
    from footlight.storage.manifest import checksum

    folder = run / "checkpoints" / "step-000000250"
    manifest = checkpoint.read_manifest(folder)
    manifest["run"]["environment"] = "\x1b[2Jgone"
    (folder / "manifest.json").write_text(json.dumps({**manifest, "checksum": checksum(manifest)}))
    assert main(["inspect", str(run)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_verify_of_an_intact_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert faults(run) == {}
    assert main(["verify", str(run)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == {"intact"}
    assert len(lines) == 11
    assert main(["verify", str(run / "checkpoints" / "LATEST")]) == 0
    assert capsys.readouterr().out == f"intact    {run / 'checkpoints' / 'step-000000250'}\n"
    assert faults(run / "checkpoints" / "step-000000200") == {}


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("checkpoints/step-000000250/buffer.safetensors", flip, "SHA-256"),
        ("checkpoints/step-000000200/agent.safetensors", os.remove, "missing"),
        ("checkpoints/step-000000200/manifest.json", flip, ""),
        ("checkpoints/LATEST", flip, "no such checkpoint"),
        ("config.json", flip, ""),
        ("config.json", os.remove, "missing"),
        ("result.json", lambda path: path.write_text("{"), "invalid"),
        (
            "result.json",
            lambda path: path.write_text(path.read_text().replace("finished", "won")),
            "status is 'won'",
        ),
        (
            "machine.json",
            lambda path: path.write_text(path.read_text().replace('"cpu"', '"cpv"')),
            "cpv is not a known key",
        ),
        ("episodes.jsonl", flip, "changed"),
        ("episodes.jsonl", os.remove, "0 bytes"),
        ("metrics.jsonl", lambda path: append(path, b"{\n"), "line"),
    ],
)
def test_damaged_file_is_named(
    run: Path, name: str, change: Any, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(run / name)
    found = faults(run)
    place = str(Path(name).parent) if name.endswith((".safetensors", "manifest.json")) else name
    assert list(found) == [place]
    assert words in found[place]
    assert main(["verify", str(run)]) == 2
    assert f"damaged   {place}" in capsys.readouterr().out


def test_unchecked_files_are_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "videos").mkdir()
    (run / "checkpoints" / "step-000000250" / "extra.bin").touch()
    (run / "crash" / "half").mkdir(parents=True)
    assert main(["verify", str(run)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    names = [name for kind, name in lines if kind == "unchecked"]
    assert names == ["checkpoints/step-000000250/extra.bin", "crash/half", "videos"]
    assert main(["verify", str(run / "checkpoints" / "step-000000250")]) == 0
    assert "unchecked extra.bin" in capsys.readouterr().out


def test_crash_folders_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(footlight.errors.EnvironmentFault):
        footlight.train(
            "a2c",
            lambda: faulty.Faulty(faulty.raises),
            steps=200,
            run_dir="run",
            eval_episodes=0,
            quiet=True,
        )
    run = Path("run")
    (place,) = (run / "crash").iterdir()
    assert faults(run) == {}
    assert f"crash/{place.name}" in [name for name, _ in verify(run)]
    before = (place / "fault.json").read_text()
    (place / "fault.json").write_text(before.replace('"step"', '"stop"'))
    assert "stop is not a known key" in faults(run)[f"crash/{place.name}"]
    (place / "fault.json").write_text(before)
    header = b'{"actions":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    (place / "actions.safetensors").write_bytes(
        len(header).to_bytes(8, "little") + header + b"\0\0"
    )
    assert "actions.safetensors is damaged" in faults(run)[f"crash/{place.name}"]
    (place / "actions.safetensors").write_bytes(b"\0" * 8)
    assert "actions.safetensors is damaged" in faults(run)[f"crash/{place.name}"]


def test_lines_behind_the_newest_checkpoint_are_no_damage(run: Path) -> None:
    append(run / "episodes.jsonl", b'{"step": 999, "return": 1}\n{"ste')
    assert faults(run) == {}
