"""Source files as the rules see them: parsed, with their place in the repository."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "footlight"


class Source(NamedTuple):
    """One parsed file and its path inside the repository."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The folder of the package that the file is in, or the module's own name at the top."""
        return self.path.parts[1].removesuffix(".py")


class Violation(NamedTuple):
    """What breaks a rule: `where` names a file, or a file and a name in it, and survives edits."""

    where: str
    text: str


def parse(path: Path, text: str) -> Source:
    """A source that need not exist on disk."""
    return Source(path, text, ast.parse(text))


def sources(*folders: str) -> list[Source]:
    """All Python files of these folders of the repository."""
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [_parsed(path) for path in paths]


@functools.cache  # once for all rules
def _parsed(path: Path) -> Source:
    return parse(path.relative_to(ROOT), path.read_text(encoding="utf-8"))


def imports(source: Source) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of every import, at any level: `from a import b` is `a.b`."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = source.path.parts[: -node.level] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def functions(source: Source) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function with its qualified name, such as `Agent.observe`."""

    def walk(
        node: ast.AST, prefix: str
    ) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{prefix}{child.name}", child
                yield from walk(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.ClassDef):
                yield from walk(child, f"{prefix}{child.name}.")
            else:
                yield from walk(child, prefix)

    yield from walk(source.tree, "")


def dotted(node: ast.AST) -> str:
    """`a.b.c` of an attribute chain, empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (rest := dotted(node.value)):
        return f"{rest}.{node.attr}"
    return ""


def inside(name: str, module: str) -> bool:
    """Whether a dotted name is `module` or lies in it."""
    return name == module or name.startswith(module + ".")
