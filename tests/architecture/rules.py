"""The rules of the source code: who may import whom, how long things get, what is never written.

Every rule is a function from a source file to its violations, so that each can be tested on
snippets.
"""

import ast
from collections.abc import Callable, Iterator

from architecture.sources import ROOT, Source, Violation, dotted, functions, imports, inside

Rule = Callable[[Source], Iterator[Violation]]

MAX_FUNCTION_LINES, MAX_FILE_LINES, MAX_PARAMETERS, MAX_COLUMNS = 60, 300, 8, 100
COMPILER = ("torch.compile", "torch._inductor", "torch._dynamo")
UNSAFE_MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "marshal", "joblib", "shelve"}
UNSAFE_CALLS = {"torch.load", "yaml.load", "eval", "exec", "builtins.eval", "builtins.exec"}

LEAVES = {  # every room may import these; they import only each other
    "ambient", "config", "contexts", "errors", "machine", "signals", "streams", "trees", "types",
}  # fmt: skip
ARROWS = {  # room: the rooms that it may import besides itself and the leaves
    **{leaf: set[str]() for leaf in LEAVES},
    "equations": set(),
    "networks": {"equations"},
    "storage": set(),
    "user_code": {"storage"},
    "buffers": {"storage"},
    "algorithms": {"equations", "networks", "buffers"},
    "environments": {"storage", "user_code"},
    "runs": {"storage"},
    "learning": {
        "algorithms", "environments", "equations", "networks", "storage", "user_code",
    },
    "instruments": {
        "algorithms", "environments", "equations", "learning", "networks", "runs", "storage",
    },
    "collection": {"algorithms", "environments", "learning"},
    "diagnostics": {"algorithms", "equations", "instruments", "learning", "networks"},
    "doctor": {"runs", "storage"},
    "examination": {"algorithms", "doctor", "environments", "learning"},
    "reports": {"doctor", "instruments", "runs", "storage"},
    "training": {
        "algorithms", "collection", "diagnostics", "doctor", "environments", "instruments",
        "learning", "runs", "storage", "user_code",
    },
    "run": {
        "doctor", "environments", "instruments", "learning", "reports", "runs", "storage",
        "training", "user_code",
    },
    "api": {
        "algorithms", "buffers", "environments", "instruments", "learning", "run", "runs",
        "storage", "training",
    },
    "sweeps": {
        "algorithms", "api", "environments", "instruments", "learning", "runs", "storage",
        "training", "user_code",
    },
    "cli": {
        "algorithms", "api", "doctor", "environments", "examination", "instruments", "reports",
        "run", "runs", "storage", "sweeps", "user_code",
    },
    "__main__": {"cli"},
    "__init__": {
        "algorithms", "api", "buffers", "environments", "examination", "instruments", "learning",
        "networks", "reports", "run", "runs", "sweeps", "training",
    },
}  # fmt: skip

# Attributes of objects that are not footlight's, for which a protocol of ours cannot speak.
FOREIGN_ATTRIBUTES = {
    **dict.fromkeys(
        ("__dict__", "__func__", "__module__", "__name__", "__qualname__"),
        "whatever a user passes: functions, classes, partial objects",
    ),
    **dict.fromkeys(
        ("call_remote", "entry_point", "env_fns", "envs", "get_action_meanings", "spec"),
        "environments and wrappers of Gymnasium and of other libraries",
    ),
    **dict.fromkeys(
        ("single_action_space", "single_observation_space"),
        "vector environments written before Gymnasium 1.0",
    ),
    **dict.fromkeys(("results_writer", "update"), "wrappers of Stable-Baselines3 and Gymnasium"),
    **dict.fromkeys(("actor", "critic"), "a network of the user's, which has either part or both"),
    **dict.fromkeys(("tolist", "track_running_stats"), "numbers and layers of NumPy and torch"),
    **dict.fromkeys(
        ("SIGUSR1", "posix_fallocate", "register_at_fork", "sched_getaffinity"),
        "functions of the standard library that some platforms lack",
    ),
    **dict.fromkeys(("reconfigure", "strerror"), "streams and errors of the standard library"),
}

LAYOUT = (
    (ROOT / "CONTRIBUTING.md")
    .read_text(encoding="utf-8")
    .partition("## Code layout\n")[2]
    .partition("\n## ")[0]
)


def wrong_arrows(source: Source) -> Iterator[Violation]:
    """A room imports only the rooms that `ARROWS` lists."""
    if source.room not in ARROWS:
        text = f"{source.path}: a room without arrows - add it to ARROWS"
        yield Violation(f"{source.path}", text)
        return
    known = ARROWS[source.room] | LEAVES | {source.room}
    for line, name in imports(source):
        room = (name + ".").split(".")[1] or "__init__"
        if inside(name, "footlight") and room not in known | {"__version__"}:
            where = f"{source.path}::{name}"
            yield Violation(where, f"{source.path}:{line}: {source.room} must not import {name}")


def long_file(source: Source) -> Iterator[Violation]:
    """Files have at most 300 lines."""
    if (lines := len(source.text.splitlines())) > MAX_FILE_LINES:
        text = f"{source.path}: {lines} lines, at most {MAX_FILE_LINES}"
        yield Violation(f"{source.path}", text)


def long_function(source: Source) -> Iterator[Violation]:
    """Functions have at most 60 lines."""
    for name, node in functions(source):
        assert node.end_lineno is not None
        if (lines := node.end_lineno - node.lineno + 1) > MAX_FUNCTION_LINES:
            text = f"{source.path}:{node.lineno}: {name} has {lines} lines"
            yield Violation(f"{source.path}::{name}", f"{text}, at most {MAX_FUNCTION_LINES}")


def wide_signature(source: Source) -> Iterator[Violation]:
    """Functions have at most 8 parameters, `self` and `cls` not counted."""
    for name, node in functions(source):
        given = node.args
        every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        names = [parameter.arg for parameter in every if parameter is not None]
        if names[:1] in (["self"], ["cls"]):
            names = names[1:]
        if len(names) > MAX_PARAMETERS:
            text = f"{source.path}:{node.lineno}: {name} has {len(names)} parameters"
            yield Violation(f"{source.path}::{name}", f"{text}, at most {MAX_PARAMETERS}")


def long_line(source: Source) -> Iterator[Violation]:
    """Lines of code, comments and docstrings have at most 100 columns."""
    for number, line in enumerate(source.text.splitlines(), 1):
        if len(line) > MAX_COLUMNS:
            text = f"{source.path}:{number}: {len(line)} columns, at most {MAX_COLUMNS}"
            yield Violation(f"{source.path}", text)


def asked_by_name(source: Source) -> Iterator[Violation]:
    """No `getattr` or `hasattr` with a literal name where a protocol could say it."""
    for node in ast.walk(source.tree):
        match node:
            case ast.Call(
                func=ast.Name(id="getattr" | "hasattr" as function),
                args=[_, ast.Constant(value=str(name)), *_],
            ) if name not in FOREIGN_ATTRIBUTES:
                text = f"{source.path}:{node.lineno}: {function}(…, {name!r}) - use a protocol"
                yield Violation(f"{source.path}::{name}", text)


def any_in_protocol(source: Source) -> Iterator[Violation]:
    """The algorithms' protocol says what it takes and returns: no `Any`."""
    if source.path.parts[1:] != ("algorithms", "protocol.py"):
        return
    for node in ast.walk(source.tree):
        if any(dotted(name).split(".")[-1] == "Any" for name in _names(node)):
            text = f"{source.path}:{getattr(node, 'lineno', '?')}: Any - name the type"
            yield Violation(f"{source.path}", text)


def _names(node: ast.AST) -> Iterator[ast.AST]:
    """The node itself; an imported name; the nodes of an annotation that is written as a string."""
    yield node
    if isinstance(node, ast.alias):
        yield ast.Name(node.name)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            yield from ast.walk(ast.parse(node.value, mode="eval"))
        except SyntaxError:  # a docstring
            return


def undocumented_field(source: Source) -> Iterator[Violation]:
    """Every field of a `Config` has a docstring under it, but those of a variant, which changes the
    defaults of another algorithm's `Config`."""
    others = {
        each.asname
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom)
        for each in node.names
        if each.name == "Config"
    }
    for node in ast.walk(source.tree):
        if not (isinstance(node, ast.ClassDef) and node.name == "Config"):
            continue
        if any(ast.unparse(base) in others for base in node.bases):
            continue
        for field, below in zip(node.body, [*node.body[1:], ast.Pass()], strict=True):
            if not isinstance(field, ast.AnnAssign) or "ClassVar" in ast.unparse(field.annotation):
                continue
            match below:
                case ast.Expr(value=ast.Constant(value=str(text))) if text.strip():
                    continue
            name = ast.unparse(field.target)
            text = f"{source.path}:{field.lineno}: {name} has no docstring under it"
            yield Violation(f"{source.path}::{name}", text)


def compiler_named(source: Source) -> Iterator[Violation]:
    """Only compilation.py, and what it has the compiler generate, know the compiler."""
    attributes = [node for node in ast.walk(source.tree) if isinstance(node, ast.Attribute)]
    for line, name in [*imports(source), *((node.lineno, dotted(node)) for node in attributes)]:
        named = any(inside(name, module) for module in COMPILER)
        if named and source.path.name not in ("compilation.py", "products.py", "wrapper_code.py"):
            text = f"{source.path}:{line}: {name} is named outside compilation.py"
            yield Violation(f"{source.path}::{name}", text)


def named_done(source: Source) -> Iterator[Violation]:
    """Nothing is named `done`: an episode is terminated or truncated."""
    for node in ast.walk(source.tree):
        for field, value in ast.iter_fields(node):
            if field in {"id", "arg", "attr", "name", "asname"} and value in {"done", "dones"}:
                line = getattr(node, "lineno", "?")
                text = f"{source.path}:{line}: `{value}` - say terminated or truncated"
                yield Violation(f"{source.path}", text)


def unsafe(source: Source) -> Iterator[Violation]:
    """Nothing that is loaded can run."""
    for line, name in imports(source):
        if name.split(".")[0] in UNSAFE_MODULES or name in UNSAFE_CALLS:
            text = f"{source.path}:{line}: {name} can run code from a file"
            yield Violation(f"{source.path}::{name}", text)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            if (name := dotted(node.func)) in UNSAFE_CALLS:
                text = f"{source.path}:{node.lineno}: {name}( can run code from a file"
                yield Violation(f"{source.path}::{name}", text)
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False":
                    value = ast.unparse(keyword.value)
                    text = f"{source.path}:{node.lineno}: allow_pickle={value}"
                    yield Violation(f"{source.path}::allow_pickle", text)


def torch_in_runs(source: Source) -> Iterator[Violation]:
    """Readers of a run work without torch."""
    for line, name in imports(source):
        if source.room == "runs" and inside(name, "torch"):
            text = f"{source.path}:{line}: {name} - readers of a run work without torch"
            yield Violation(f"{source.path}::{name}", text)


def missing_from_layout(source: Source) -> Iterator[Violation]:
    """A module is in CONTRIBUTING's code layout by its own name, in a row of its folder."""
    folder, name = source.path.parts[1], source.path.name
    is_at_top = len(source.path.parts) == 2
    if name == "__init__.py" and not is_at_top:
        return
    rows = [row for row in LAYOUT.splitlines() if is_at_top or row.startswith(f"| `{folder}/`")]
    if not any(f"`{name}`" in row for row in rows):
        text = f"{source.path}: not in the code layout of CONTRIBUTING.md"
        yield Violation(f"{source.path}", text)


def without_test(source: Source) -> Iterator[Violation]:
    """Every module has a test file of its name; `__init__.py` is tested as its folder."""
    *folders, name = source.path.parts
    if name == "__init__.py" and not source.tree.body[1:]:  # a docstring, or nothing
        return
    stem = folders[-1] if name == "__init__.py" else name.removesuffix(".py").strip("_")
    if not any((ROOT / "tests").rglob(f"test_{stem}.py")):
        yield Violation(f"{source.path}", f"{source.path}: no tests/**/test_{stem}.py")
