"""Consent: given by naming a file, remembered by name and content on the user's side."""

import json
from pathlib import Path

import pytest
from user_files import write

from footlight.errors import UserError
from footlight.user_code import consent
from footlight.user_code.reference import Reference


@pytest.fixture(autouse=True)
def nothing_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    monkeypatch.setattr(consent, "_this_process", set())


def entry(file: Path, name: str = "MyEnv", use: str = "environment") -> dict[str, str]:
    return {"use": use, "path": str(file), "name": name, "sha256": "of the run"}


def forget_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent, "_this_process", set())


def test_a_named_file_is_allowed_for_that_name_and_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path)
    given = consent.given(f"{file}:MyEnv", "environment")
    forget_this_process(monkeypatch)
    assert consent.recorded(entry(file), tmp_path) == given
    for other in (entry(file, "make"), entry(file, use="hook"), entry(tmp_path / "algorithm.py")):
        with pytest.raises(
            UserError, match=r"you have not allowed it.*\n--allow-code .*mine.py|al"
        ):
            consent.recorded(other, tmp_path)


def test_a_changed_file_is_asked_for_again(tmp_path: Path) -> None:
    file = write(tmp_path)
    consent.given(f"{file}:MyEnv", "environment")
    file.write_text(file.read_text() + "\n# changed\n")
    with pytest.raises(UserError, match="it has changed since you allowed it"):
        consent.recorded(entry(file), tmp_path)
    consent.allow(file, [entry(file), entry(file, "show", "hook")])
    assert consent.recorded(entry(file), tmp_path).sha256 != "of the run"
    assert consent.recorded(entry(file, "show", "hook"), tmp_path).name == "show"
    with pytest.raises(UserError, match="not allowed it"):
        consent.recorded(entry(file, "make"), tmp_path)


def test_only_files_that_the_run_names_can_be_allowed(tmp_path: Path) -> None:
    file = write(tmp_path)
    with pytest.raises(
        UserError, match=r"does not name the file .*algorithm.py - it names .*mine.py"
    ):
        consent.allow([tmp_path / "algorithm.py"], [entry(file)])
    with pytest.raises(UserError, match=r"does not name the file .* it names none"):
        consent.allow(str(file), [])
    gone = tmp_path / "gone.py"
    with pytest.raises(UserError, match="there is no file"):
        consent.allow([gone], [entry(gone)])
    with pytest.raises(UserError, match=r"no such file - name yours: --environment FILE.py:MyEnv"):
        consent.recorded(entry(gone), tmp_path)


def test_consents_are_readable_and_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path)
    monkeypatch.setattr(consent, "MAX_VERSIONS", 2)
    for number in range(4):
        file.write_text(f"# {number}\n")
        consent.given(f"{file}:MyEnv", "environment")
        consent.given(f"{file}:MyEnv", "environment")
    stored = json.loads(consent.store().read_text())["allowed"]
    assert [each["path"] for each in stored] == [str(file)] * 2
    assert consent.store() == tmp_path / "configuration" / "footlight" / "allowed.json"


def test_relative_configuration_folder_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "here")
    assert consent.store() == Path.home() / ".config" / "footlight" / "allowed.json"


def test_damaged_consents_allow_nothing_and_do_not_prevent_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path)
    consent.store().parent.mkdir(parents=True)
    for text in ("{", '{"format_version": 1, "allowed": [{"path": "x"}]}', '{"allowed": []}'):
        consent.store().write_text(text)
        consent.given(f"{file}:MyEnv", "environment")
        assert "your consent is not remembered" in capsys.readouterr().err
        forget_this_process(monkeypatch)
        with pytest.raises(UserError, match="invalid"):
            consent.recorded(entry(file), tmp_path)


def test_consent_holds_in_this_process_where_it_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path)
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "taken"))
    given = consent.given(f"{file}:MyEnv", "environment")
    assert "your consent is not remembered" in capsys.readouterr().err
    assert isinstance(given, Reference)
    assert consent.recorded(entry(file), tmp_path) == given
