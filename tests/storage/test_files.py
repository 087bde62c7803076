"""Files read as if a stranger had written them."""

import hashlib
from pathlib import Path

import pytest

from footlight.errors import UserError
from footlight.storage.files import hash_file, read_file, read_json, user_path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": -Infinity}', "-Infinity is not JSON"),
        ('{"a": 1e999}', "1e999 is too large a number"),
        ('{"a": 1, "a": 2}', "a duplicate key"),
        ("[1]", "a list, not an object"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("{", "broken"),
    ],
)
def test_json_is_strict(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError, match=words):
        read_json(tmp_path / "x.json")


def test_home_directory_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/run") == user_path(Path("~/run")) == tmp_path / "run"
    assert user_path("./~/run") == user_path(user_path("./~/run")) == Path.cwd() / "~" / "run"
    assert user_path(Path()) == Path()
    with pytest.raises(UserError, match="a path is empty"):
        user_path("")
    with pytest.raises(
        UserError,
        match=r"cannot expand ~nobody-at-all/run - there is no home directory ~nobody-at-all - wr",
    ):
        user_path("~nobody-at-all/run")


def test_file_is_hashed_in_parts(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "x").write_bytes(content)
    assert hash_file(tmp_path / "x") == (len(content), hashlib.sha256(content).hexdigest())
    with pytest.raises(UserError, match="a folder"):
        hash_file(tmp_path)


def test_memory_is_that_of_the_file_and_not_of_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo")
    assert read_file(path, 1 << 60) == b"one\ntwo"
