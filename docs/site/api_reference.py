"""The API reference: pages name objects in comments, and the site shows signature and docstring.

    <!-- api footlight.train -->            a function, or a class with its public methods
    <!-- api fields footlight.SACConfig --> the fields of a config class as a table

docstrings describe parameters in lines that begin with `name:`; these become a list.
"""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MARKER = re.compile(r"^<!-- api (?P<what>fields )?(?P<name>[\w.]+) -->$", re.MULTILINE)
PAGES = Path(__file__).parents[1] / "reference"
MAX_COLUMNS = 80


def expanded(text: str) -> str:
    """A page with its markers replaced by the reference."""
    return MARKER.sub(lambda match: "\n".join(entry(match["name"], bool(match["what"]))), text)


def entry(name: str, is_config: bool = False) -> Iterator[str]:
    """The lines that stand for a marker."""
    if is_config:
        yield from field_table(find(name))
    elif isinstance(found := find(name), type):
        yield from class_entry(found, name.rpartition(".")[2])
    elif callable(found):
        yield from function_entry(found, name)
    else:
        yield f"`{name}` = `{found!r}`"


def find(name: str) -> Any:
    """The object of this dotted name. Raises `ValueError`."""
    module, _, member = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), member)
    except (AttributeError, ImportError):
        pass
    try:
        return getattr(find(module), member)
    except (AttributeError, ValueError) as error:
        raise ValueError(f"the reference names {name}, which does not exist") from error


def named_on_pages() -> set[str]:
    """The public names that some page of the reference shows."""
    texts = (page.read_text(encoding="utf-8") for page in PAGES.glob("*.md"))
    found = {match["name"] for text in texts for match in MARKER.finditer(text)}
    return {name.removeprefix("footlight.").partition(".")[0] for name in found}


# Functions and classes


def definition(found: Any) -> Any:
    """The syntax tree of a function or class."""
    return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(found)))).body[0]


def parameters(node: ast.FunctionDef) -> list[str]:
    """The parameters as the source writes them, without `self`."""
    given = node.args
    positional = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(positional) - len(given.defaults)) + list(given.defaults)
    made = [one(each, value) for each, value in zip(positional, defaults, strict=True)]
    if given.vararg:
        made.append(f"*{one(given.vararg, None)}")
    elif given.kwonlyargs:
        made.append("*")
    keywords = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    made += [one(each, value) for each, value in keywords]
    if given.kwarg:
        made.append(f"**{one(given.kwarg, None)}")
    return made[1:] if made and made[0] in ("self", "cls") else made


def one(argument: ast.arg, value: ast.expr | None) -> str:
    """A parameter as it is written in a signature."""
    kind = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
    if value is None:
        return f"{argument.arg}{kind}"
    return f"{argument.arg}{kind}{' = ' if kind else '='}{ast.unparse(value)}"


def signature(name: str, made: list[str], returns: ast.expr | None) -> str:
    """A signature on one line, or with a line for each parameter."""
    end = f" -> {ast.unparse(returns).strip(chr(39))}" if returns is not None else ""
    line = f"{name}({', '.join(made)}){end}"
    if len(line) <= MAX_COLUMNS:
        return line
    return f"{name}(\n" + "".join(f"    {each},\n" for each in made) + f"){end}"


def fenced(text: str) -> Iterator[str]:
    """Code of the reference; `py`, since the tests run the blocks that are marked `python`."""
    yield from ["```py", text, "```", ""]


def function_entry(found: Any, name: str) -> Iterator[str]:
    """Signature and docstring of a function or method."""
    node = definition(found)
    made = parameters(node)
    yield from fenced(signature(name, made, node.returns))
    yield from described(inspect.getdoc(found) or "", names_of(made))


def names_of(made: list[str]) -> set[str]:
    """The names of parameters."""
    return {re.sub(r"[:=].*", "", each, flags=re.DOTALL).strip("* ") for each in made}


def class_entry(found: type, name: str) -> Iterator[str]:
    """Signature, docstring, attributes and methods of a class."""
    own = vars(found)
    # `__new__` and `__init__` of dataclasses and named tuples are not in their source
    node = definition(found)
    first = next((each for each in node.body if getattr(each, "name", "") == "__init__"), None)
    if issubclass(found, BaseException):
        bases = ", ".join(f"`{each.__name__}`" for each in found.__bases__)
        yield from [f"*An exception, derived from {bases}.*", ""]
        made: list[str] = []
    else:
        made = parameters(first) if first else list(annotated(node))
        yield from fenced(signature(name, made, None))
    yield from described(inspect.getdoc(found) or "", names_of(made) | attributes_named(found))
    for member, value in sorted(own.items(), key=lambda item: not isinstance(item[1], property)):
        if member.startswith("_") or member not in documented(node):
            continue
        if isinstance(value, property):
            yield from ["", f"### {name}.{member}", ""]
            kind = definition(value.fget).returns
            shown = f"*Property*: `{ast.unparse(kind)}`. " if kind else "*Property*. "
            first, *others = described(inspect.getdoc(value) or "", set())
            yield from [shown + first, *others]
        elif isinstance(value, classmethod | staticmethod) or inspect.isfunction(value):
            yield from ["", f"### {name}.{member}", ""]
            function = getattr(found, member)
            yield from function_entry(getattr(function, "__func__", function), f"{name}.{member}")


def annotated(node: ast.ClassDef) -> Iterator[str]:
    """The fields of a dataclass or named tuple, as parameters."""
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            value = f" = {ast.unparse(each.value)}" if each.value else ""
            if not each.target.id.startswith("_"):
                yield f"{each.target.id}: {ast.unparse(each.annotation)}{value}"


def attributes_named(found: type) -> set[str]:
    """The names of the annotated attributes of a class."""
    return {name for name in vars(found).get("__annotations__", {}) if not name.startswith("_")}


def documented(node: ast.ClassDef) -> set[str]:
    """The methods of a class that have a docstring."""
    functions = (each for each in node.body if isinstance(each, ast.FunctionDef))
    return {each.name for each in functions if ast.get_docstring(each)}


# Docstrings


def described(text: str, names: set[str]) -> Iterator[str]:
    """A docstring as Markdown, the lines that begin with a parameter's name as a list."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if paragraph.startswith("    "):  # an example
            yield from fenced(textwrap.dedent(paragraph))
            continue
        items, lead = parameter_items(paragraph, names)
        if lead:
            yield from [escaped(lead), ""]
        yield from (f"* `{name}`: {escaped(meaning)}" for name, meaning in items)
        yield ""


def parameter_items(paragraph: str, names: set[str]) -> tuple[list[tuple[str, str]], str]:
    """The described parameters of a paragraph, and the text before (or after) them."""
    if not names:
        return [], paragraph
    listed = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    start = re.compile(rf"(?:^|(?<=[.;)] ))((?:{listed})(?:, (?:{listed}))*): ", re.MULTILINE)
    found = list(start.finditer(paragraph))
    if not found:
        return [], paragraph
    ends = [*(match.start() for match in found[1:]), len(paragraph)]
    items, after = [], ""
    for match, end in zip(found, ends, strict=True):
        meaning = " ".join(paragraph[match.end() : end].split())
        if end == len(paragraph) and (raises := re.search(r"(?<=\.) Raises .*", meaning)):
            meaning, after = meaning[: raises.start()], raises[0].strip()
        items.append(("`, `".join(match[1].split(", ")), meaning))
    lead = paragraph[: found[0].start()].strip()
    return items, f"{lead} {after}".strip()


def escaped(text: str) -> str:
    """Text in which a star or angle bracket outside of code is itself."""
    parts = text.split("`")
    for index in range(0, len(parts), 2):
        parts[index] = re.sub(r"([*<\[\]])", r"\\\1", parts[index])
        parts[index] = re.sub(r"\b(?:[a-z]+_)+[a-z]+\b", r"`\g<0>`", parts[index])
    return "`".join(parts)


# Fields


def field_table(config_class: Any) -> Iterator[str]:
    """All fields of a config class, with defaults, meanings, types and ranges."""
    from footlight.config.fields import describe_type, describe_value, fields

    yield "| field | default | meaning and values |"
    yield "| --- | --- | --- |"
    for field in fields(config_class).values():
        meaning = escaped(field.help).replace("|", "\\|")
        meaning += " *Can change during a run.*" * field.is_schedulable
        kind = describe_type(field.type, field.range).replace("|", "\\|")
        kind = f"*{kind[0].upper()}{escaped(kind[1:])}.*"
        yield f"| `{field.name}` | `{describe_value(field.default)}` | {meaning} {kind} |"
