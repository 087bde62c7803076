"""The architecture of the package as it is: every rule of `architecture.rules`, and its layout.

What breaks a rule today is listed in `architecture/today.py`. A violation that is not listed fails,
and so does an entry that no longer breaks its rule, so the lists only shrink. The rules themselves
are tested on snippets in `architecture/test_rules.py`.
"""

import subprocess
import sys
from collections import defaultdict

import pytest
from architecture.everywhere import EVERYWHERE
from architecture.rules import ARROWS, LAYOUT, Rule
from architecture.sources import PACKAGE, ROOT, sources
from architecture.today import TODAY

MAX_AT_TOP = 12


@pytest.mark.parametrize(("rule", "folders"), EVERYWHERE)
def test_rule_holds_except_where_listed(rule: Rule, folders: list[str]) -> None:
    listed, found = TODAY.get(rule.__name__, set()), defaultdict(list)
    for source in sources(*folders):
        for violation in rule(source):
            found[violation.where].append(violation.text)
    new = [text for where, texts in found.items() if where not in listed for text in texts]
    assert not new, "\n" + "\n".join(new)
    kept = sorted(listed - found.keys())
    assert not kept, f"no longer break {rule.__name__} - remove from architecture/today.py: {kept}"


def test_lists_of_today_belong_to_rules() -> None:
    assert TODAY.keys() <= {rule.__name__ for rule, _ in EVERYWHERE}


def test_at_most_twelve_modules_at_the_top() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MAX_AT_TOP


def test_arrows_have_no_cycle() -> None:
    for room in ARROWS:
        seen, front = set[str](), set(ARROWS[room])
        while front - seen:
            seen |= front
            front = set().union(*(ARROWS[other] for other in front))
        assert room not in seen, f"{room} imports itself through others"


def test_code_layout_names_only_modules_that_exist() -> None:
    """The other direction of `missing_from_layout`."""
    present = {path.name for path in PACKAGE.rglob("*.py")}
    named = {word for word in LAYOUT.split("`")[1::2] if word.endswith(".py")}
    assert named
    assert named <= present, f"in the code layout, but not in footlight/: {named - present}"


def modules_without_torch() -> list[str]:
    """The package, the command line, whose help needs no torch, and the readers of a run."""
    files = [PACKAGE / "__init__.py", *(PACKAGE / "cli").rglob("*.py")]
    files += (PACKAGE / "runs").rglob("*.py")
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted(files)
    ]


@pytest.mark.parametrize("module", modules_without_torch())
def test_import_leaves_torch_alone(module: str) -> None:
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr or f"import {module} imports torch"
