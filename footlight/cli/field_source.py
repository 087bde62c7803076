"""Fields of the configs, read from their source without importing it, for shell completion.

An algorithm's file imports torch, which takes seconds. Its fields and the words that they may be
are plain to see in its source, and in those that it names as its bases and types.
"""

import ast
import functools
import importlib.resources
from collections.abc import Iterator


def fields_in_source(module: str, name: str) -> dict[str, tuple[str, ...]]:
    """The fields of a dataclass of footlight's, those of its bases included, in their order.

    Each has the words that it may be, or none if they are too many, as numbers are.
    """
    found: dict[str, tuple[str, ...]] = {}
    where, definition = _definition(module, name)
    if not isinstance(definition, ast.ClassDef):
        return found
    for base in reversed(definition.bases):  # as dataclasses collect them
        if isinstance(base, ast.Name):
            found |= fields_in_source(where, base.id)
    for statement in definition.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=field), annotation=annotation):
                if "ClassVar" not in ast.unparse(annotation):
                    found[field] = tuple(_words(where, annotation))
    return found


def _words(module: str, annotation: ast.AST) -> Iterator[str]:
    """The words that a value of an annotated type may be."""
    match annotation:
        case ast.Name(id="bool"):
            yield from ("true", "false")
        case ast.Name(id=name):
            where, definition = _definition(module, name)
            if isinstance(definition, ast.Assign):
                yield from _words(where, definition.value)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=literals)):
            yield from (str(each.value) for each in literals if isinstance(each, ast.Constant))
        case ast.Subscript(value=ast.Name(id="Annotated" | "tuple"), slice=ast.Tuple(elts=parts)):
            yield from _words(module, parts[0])
        case ast.BinOp(left=left):  # of a word or None
            yield from (*(first := [*_words(module, left)]), *(("none",) if first else ()))


@functools.cache
def _definition(module: str, name: str) -> tuple[str, ast.AST | None]:
    """The module in which a name of `module` is defined, and the statement that does it."""
    for statement in _parsed(module).body:
        match statement:
            case ast.ClassDef(name=defined) | ast.Assign(targets=[ast.Name(id=defined)]):
                if defined == name:
                    return module, statement
            case ast.ImportFrom(module=str(source), names=aliases):
                known = [alias.name for alias in aliases if name in (alias.name, alias.asname)]
                if known and source.startswith("footlight."):
                    return _definition(source, known[0])
    return module, None


@functools.cache
def _parsed(module: str) -> ast.Module:
    package, _, file = module.rpartition(".")
    source = importlib.resources.files(package) / f"{file}.py"
    return ast.parse(source.read_text(encoding="utf-8"))
