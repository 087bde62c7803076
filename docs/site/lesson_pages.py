"""Lessons as pages: the cells and outputs of a notebook in Markdown."""

import base64
import html
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\].*?\x07")
IMAGES = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif"}


class Lesson(NamedTuple):
    """A notebook as a page and the images beside it."""

    title: str
    text: str
    images: dict[str, bytes]


def lesson(path: Path) -> Lesson:
    """Read a notebook. Images are named after it, and lie beside the page."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    parts, images = [], dict[str, bytes]()
    for cell in notebook["cells"]:
        source = joined(cell["source"]).strip("\n")
        if cell["cell_type"] == "markdown":
            parts.append(with_attachments(source, cell.get("attachments", {})))
        elif cell["cell_type"] == "code":
            if source and "hide-input" not in cell.get("metadata", {}).get("tags", ()):
                code = fenced(source, "py")
                parts.append(folded(code) if "google.colab" in source else code)
            parts += outputs(cell.get("outputs", []), path.stem, images)
    text = "\n\n".join(part for part in parts if part)
    heading = re.search(r"^# +(.+)$", text, re.MULTILINE)
    title = heading[1].strip() if heading else path.stem.replace("-", " ")
    return Lesson(title, text if heading else f"# {title}\n\n{text}", images)


def joined(text: str | list[str]) -> str:
    """Text that a notebook stores whole or as lines."""
    return text if isinstance(text, str) else "".join(text)


def fenced(text: str, language: str) -> str:
    """A fenced block, also of text that has fences."""
    longest = max((len(ticks) for ticks in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def folded(code: str) -> str:
    """A block that opens on a click: the cell that installs the package in Colab."""
    return '??? note "Set-up in Colab"\n\n' + textwrap.indent(code, "    ")


def with_attachments(source: str, attachments: dict[str, Any]) -> str:
    """Markdown whose attached images are part of the page."""
    for name, kinds in attachments.items():
        kind, data = next(iter(kinds.items()))
        source = source.replace(f"attachment:{name}", f"data:{kind};base64,{joined(data)}")
    return source


def outputs(found: list[dict[str, Any]], stem: str, images: dict[str, bytes]) -> Iterator[str]:
    """What a cell printed and showed, as it is on the screen at the end."""
    printed = ""
    for output in found:
        if output["output_type"] == "stream":
            printed += joined(output["text"])
            continue
        if printed:
            yield block(printed)
            printed = ""
        if output["output_type"] == "error":
            yield block("\n".join(output["traceback"]))
        else:
            yield shown(output["data"], stem, images)
    if printed:
        yield block(printed)


def block(text: str) -> str:
    """Printed text: lines that were overwritten are left out."""
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in ANSI.sub("", text).split("\n")]
    plain = "\n".join(lines).strip("\n")
    return fenced(plain, "text") if plain.strip() else ""


def shown(data: dict[str, Any], stem: str, images: dict[str, bytes]) -> str:
    """The richest form of an output that a page can show."""
    for kind, suffix in IMAGES.items():
        if kind in data:
            name = f"{stem}-{len(images) + 1}.{suffix}"
            images[name] = base64.b64decode(joined(data[kind]))
            return f"![Output of the cell above]({name}){{ loading=lazy }}"
    if "image/svg+xml" in data:
        encoded = base64.b64encode(joined(data["image/svg+xml"]).encode()).decode()
        return f'<img alt="Output of the cell above" src="data:image/svg+xml;base64,{encoded}">'
    if "text/html" in data:
        # A blank line would end the HTML block
        made = re.sub(r"\n\s*\n", "\n", joined(data["text/html"]).strip())
        return f'<div class="output">\n{made}\n</div>'
    if "text/markdown" in data:
        return joined(data["text/markdown"])
    return block(html.unescape(joined(data.get("text/plain", ""))))
