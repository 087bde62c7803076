"""HTML from values that may be hostile: everything is escaped here, and nowhere else."""

import base64
import hashlib
import html
import json
from typing import Any

from footlight.errors import printable

MAX_TEXT = 2_000  # characters of one text on the page
_VOID = {"meta", "br", "img", "input"}


class Html(str):
    """Text that is HTML already. Any other string is escaped when it becomes a part of one."""

    __slots__ = ()


def escape(value: Any) -> Html:
    """A value as text of a page: escaped, without control characters, and not too long."""
    if isinstance(value, Html):
        return value
    text = str(value)
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}…"
    return Html(html.escape(printable(text)))


def element(tag: str, *children: Any, **attributes: Any) -> Html:
    """An element with its children, in order; None is no child, and an attribute None is left out.

    An attribute is written without its trailing underscore, and with dashes for the others.
    """
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Html(f"<{tag}{named}>")
    return Html(f"<{tag}{named}>{join(*children)}</{tag}>")


def join(*parts: Any) -> Html:
    """Parts one after the other, those that are not HTML escaped; None is left out."""
    return Html("".join(escape(part) for part in parts if part is not None))


def table(head: list[Any], rows: list[list[Any]], class_: str | None = None) -> Html:
    """A table that scrolls sideways by itself on a narrow screen."""
    above = element("thead", element("tr", *(element("th", name) for name in head)))
    body = element(
        "tbody",
        *(element("tr", *(element("td", cell) for cell in row)) for row in rows),
    )
    return element("div", element("table", above if any(head) else None, body, class_=class_),
                   class_="scroll")  # fmt: skip


def embedded_json(value: Any) -> Html:
    """Strict JSON for the inside of a script element, which no text in it can close."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # ASCII: no U+2028
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Html(text)


def content_hash(text: str) -> str:
    """The hash by which a Content-Security-Policy allows one inline script or style."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def capitalized(text: str) -> str:
    """A text with a capital letter at its beginning; the rest of it stays as it is."""
    return text[:1].upper() + text[1:]


def number(value: float | None) -> str:
    """A number in four digits, as in tables; a dash for None and what is not finite."""
    if value is None or value != value or value in (float("inf"), float("-inf")):
        return "–"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.1f}" if 100 <= abs(value) < 1e7 else f"{value:.4g}"
