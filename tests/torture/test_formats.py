"""A run of each released format, as it was written then, is read by the footlight of today."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import footlight
from footlight.cli.main import main
from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.storage import checkpoint, manifest

ARCHIVES = sorted((Path(__file__).parents[1] / "data").glob("format-*"))


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.name)
def archive(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(request.param, "run")
    return Path("run")


def test_there_is_an_archive_of_each_format() -> None:
    assert [path.name for path in ARCHIVES] == [
        f"format-{number}" for number in range(manifest.FIRST_VERSION, manifest.FORMAT_VERSION + 1)
    ]


def test_archive_is_intact_acts_and_resumes(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "run"]) == 0
    assert main(["inspect", "run"]) == 0
    action = footlight.load(archive).act(np.array([0.5, -0.5, 2.0], np.float32))
    assert np.array_equal(
        action, Agent.load(archive).act(np.array([0.5, -0.5, 2.0], np.float32))
    )  # one machine, one path
    assert action.shape == (1,)
    assert main(["resume", "run", "--steps", "160"]) == 0
    assert main(["verify", "run"]) == 0
    assert checkpoint.read_manifest(checkpoint.find(archive))["step"] == 160


def test_formats_are_migrated_one_after_the_other(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = checkpoint.FORMAT_VERSION
    seen: list[int] = []

    def next_format(number: int) -> Any:
        def migrate(manifest: dict[str, Any]) -> dict[str, Any]:
            seen.append(number)
            return {
                **manifest,
                "format_version": number + 1,
                "message": f"gamma was {manifest['config']['gamma']}",
            }

        return migrate

    monkeypatch.setattr(manifest, "FORMAT_VERSION", now + 2)
    monkeypatch.setattr(
        manifest,
        "MIGRATIONS",
        {**manifest.MIGRATIONS, now: next_format(now), now + 1: next_format(now + 1)},
    )
    upgraded = checkpoint.read_manifest(checkpoint.find(archive))
    assert upgraded["format_version"] == now + 2
    assert upgraded["message"] == "gamma was 0.99"
    assert seen[-2:] == [now, now + 1]
    assert Agent.load(archive).num_steps == 120


def test_unreleased_formats_are_rejected(archive: Path) -> None:
    folder = checkpoint.find(archive)
    path = folder / checkpoint.MANIFEST
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "format_version": 1}))
    with pytest.raises(
        UserError, match="has format 1, of an unreleased footlight - train the agent again"
    ):
        footlight.load(folder)
