"""The source distribution: what MANIFEST.in selects; `make dist` builds it and tries it."""

import subprocess
from pathlib import Path

import pytest
from setuptools.command.egg_info import FileList

ROOT = Path(__file__).resolve().parents[1]
ALWAYS = {"pyproject.toml", "LICENSE", "MANIFEST.in"}  # setuptools adds these and the package


def test_manifest_selects_every_file_of_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("needs the repository, to know which files it has")
    try:
        output = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"git does not list the files: {error}")
    wanted = {
        name
        for name in output.split("\0")
        if (ROOT / name).is_file() and not name.startswith((".git", "footlight/"))
    }
    monkeypatch.chdir(ROOT)
    selected = FileList()
    for line in Path("MANIFEST.in").read_text("utf-8").splitlines():
        selected.process_template_line(line)
    assert wanted - {Path(name).as_posix() for name in selected.files} <= ALWAYS
