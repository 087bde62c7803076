"""Loading of a user's file: exactly the allowed content, its module, and mistakes in it."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from footlight.errors import UserError
from footlight.user_code import consent
from footlight.user_code.loading import load, load_given


def found(file: Path, name: str, use: str = "environment") -> Any:
    return load(consent.given(f"{file}:{name}", use))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ndef f(:\n", r"SyntaxError: [^(]* \(broken.py, line 2\) - fix it"),
        ("\nx = 1 / 0\n", r"ZeroDivisionError: division by zero \(broken.py, line 2\) - fix it"),
        ("import nothing_there\n", r"\(broken.py, line 1\) - install nothing_there"),
        ("raise SystemExit(3)\n", r"SystemExit: 3 \(broken.py, line 1\)"),
        ("import json\njson.loads('{')\n", r"JSONDecodeError: .* \(broken.py, line 2\)"),
    ],
)
def test_mistakes_in_a_file_are_named_with_their_line(
    text: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "broken.py"
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        found(file, "X")
    assert "broken" not in sys.modules


def test_a_missing_name_is_answered_with_the_closest(tmp_path: Path) -> None:
    file = tmp_path / "names.py"
    file.write_text("import os\nclass MyEnv: pass\ndef other(): pass\n")
    with pytest.raises(UserError, match=r"no 'MyEmv' - did you mean 'MyEnv'\? - it has MyEnv, oth"):
        found(file, "MyEmv")
    file.write_text("")
    with pytest.raises(UserError, match="it has no class and no function"):
        found(file, "MyEnv")


def test_a_changed_file_is_loaded_again(tmp_path: Path) -> None:
    file = tmp_path / "changing_file.py"
    file.write_text("def value(): return 1\n")
    before = consent.given(f"{file}:value", "hook")
    assert load(before)() == 1
    assert load(before) is load(before)
    stamp = file.stat()
    file.write_text("def value(): return 2\n")
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # so that bytecode would seem valid
    assert found(file, "value")() == 2
    assert load(before)() == 1
    fresh = tmp_path / "fresh_file.py"
    fresh.write_text("x = 1\n")
    allowed = consent.given(f"{fresh}:x", "hook")
    fresh.write_text("x = 2\n")
    with pytest.raises(UserError, match="has changed since it was allowed"):
        load(allowed)


def test_bytecode_beside_the_file_is_not_run(tmp_path: Path) -> None:
    file = tmp_path / "compiled_file.py"
    file.write_text("def value(): return 1\n")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import compiled_file"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
    assert list((tmp_path / "__pycache__").glob("compiled_file*.pyc"))
    stamp = file.stat()
    file.write_text("def value(): return 2\n")
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert found(file, "value")() == 2


def test_the_module_has_the_name_of_the_file_if_that_is_free(tmp_path: Path) -> None:
    free, taken = tmp_path / "a_free_name.py", tmp_path / "random.py"
    for file in (free, taken):
        file.write_text("import a_helper_beside\nclass X: pass\n")
    (tmp_path / "a_helper_beside.py").write_text("")
    (tmp_path / "a_late_helper.py").write_text("")
    before = sys.modules["random"]
    assert found(free, "X").__module__ == "a_free_name"
    assert importlib.import_module("a_free_name").X is found(free, "X")
    assert found(taken, "X").__module__.startswith("footlight_file_")
    assert sys.modules["random"] is before
    assert sys.path[-1] == str(tmp_path)  # last: it shadows nothing
    importlib.import_module("a_late_helper")


def test_a_file_that_names_itself_ends(tmp_path: Path) -> None:
    file = tmp_path / "itself.py"
    file.write_text(
        "from footlight.user_code.loading import load_given\n"
        f"load_given({str(file) + ':x'!r}, 'hook', [])\n"
    )
    with pytest.raises(UserError, match="names itself while it is being loaded"):
        found(file, "x")


def test_objects_are_used_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "given_objects.py"
    file.write_text(
        "class Hook:\n    def __call__(self, training): pass\n"
        "class Bad:\n    def __init__(self): raise ValueError('no')\n"
        "number = 3\n"
    )
    code: list[Any] = []
    assert load_given(print, "hook", code) is print
    assert load_given("sac", "algorithm", code) == "sac"
    assert not code
    assert type(load_given(f"{file}:Hook", "hook", code)).__name__ == "Hook"
    assert isinstance(load_given(f"{file}:Hook", "network", code), type)
    assert [each.use for each in code] == ["hook", "network"]
    with pytest.raises(
        UserError, match=r"Bad failed - ValueError: no \(given_objects.py, line 4\)"
    ):
        load_given(f"{file}:Bad", "hook", code)
    with pytest.raises(UserError, match=r"number in .* is of type int - network has to be a class"):
        load_given(f"{file}:number", "network", code)
    with pytest.raises(UserError, match=r"network is .MyNetwork. - .* write FILE.py:NAME"):
        load_given("MyNetwork", "network", code)
