"""References FILE.py:NAME: what is one, and what is wrong with others."""

from pathlib import Path

import pytest
from user_files import write

from footlight.errors import UserError
from footlight.user_code.reference import is_reference, place_in_loaded, split


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mine.py:MyEnv", True),
        ("a/b.py:Mine/Env-v0", True),
        ("mine.py", True),
        ("mine:MyEnv-v0", False),
        ("Pendulum-v1", False),
        ("my.pyramid:Env-v0", False),
        (None, False),
    ],
)
def test_references_end_in_py(text: object, expected: bool) -> None:
    assert is_reference(text) is expected


def test_split_returns_the_absolute_file_and_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.py").symlink_to(file)
    assert split("mine.py:MyEnv") == split("./link.py:MyEnv") == (file, "MyEnv")
    with pytest.raises(UserError, match=r"there is no file min.py .* did you mean 'mine.py'"):
        split("min.py:MyEnv")
    with pytest.raises(UserError, match=r"names a file only - it has MyEnv, .* write mine.py:"):
        split("mine.py")
    assert not (tmp_path / "marker").exists()


def test_an_error_from_elsewhere_has_no_place() -> None:
    assert place_in_loaded(ValueError("of footlight's own")) == ""
