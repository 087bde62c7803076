"""What the site adds to the pages when MkDocs builds it: reference, lessons and links."""

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

import lesson_pages
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

import api_reference
import command_reference
import links

ROOT = links.ROOT
LESSONS = "Lessons"
CELL = re.compile(r"<td.*?</td>", re.DOTALL)
origins: dict[str, str] = {}
"""Which file of the repository a generated page shows."""
beside: dict[str, set[str]] = {}
"""The images that a lesson brings, by the place of its page."""


def lessons() -> list[Path]:
    """The notebooks that there are."""
    return sorted((ROOT / "lessons").glob("*.ipynb"))


def on_config(config: Any) -> Any:
    """Add the lessons to the navigation, and name anchors as forges do."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = links.anchor
    entries = [{lesson_pages.lesson(path).title: f"lessons/{path.stem}.md"} for path in lessons()]
    index = ROOT / "lessons" / "README.md"
    if index.exists():
        entries.insert(0, {"Overview": "lessons/index.md"})
        links.PLACES["lessons/README.md"] = "lessons/index.md"
    for position, entry in enumerate(config.nav):
        if isinstance(entry, dict) and LESSONS in entry:
            config.nav[position : position + 1] = [{LESSONS: entries}] if entries else []
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages from outside `docs/`, and the files that pages link to."""
    origins.clear()
    waiting = [(each.src_uri, f"docs/{each.src_uri}") for each in files.documentation_pages()]

    def add(place: str, content: str | bytes, origin: str) -> None:
        origins[place] = origin
        files.append(File.generated(config, place, content=content))

    for origin, place in links.PLACES.items():
        if origin != "README.md" and (ROOT / origin).exists():
            add(place, (ROOT / origin).read_text(encoding="utf-8"), origin)
            waiting.append((place, origin))
    for path in lessons():
        made, origin = lesson_pages.lesson(path), f"lessons/{path.name}"
        place = f"lessons/{path.stem}.md"
        add(place, made.text, origin)
        waiting.append((place, origin))
        beside[place] = set(made.images)
        for name, data in made.images.items():
            add(f"lessons/{name}", data, origin)
    for place, origin in waiting:
        text = files.get_file_from_path(place).content_string
        for named in sorted(links_of(text, origin, place)[1]):
            there = links.place(named)
            if there not in files.src_uris:
                source = there.startswith("source/")
                add(
                    there,
                    links.source_page(named) if source else (ROOT / named).read_bytes(),
                    named,
                )
    return files


def links_of(text: str, origin: str, place: str) -> tuple[str, set[str]]:
    """The text of a page with its links as they are in the site, and the files that it names."""
    try:
        return links.rewritten(text, origin, place, beside.get(place, ()))
    except ValueError as error:
        raise PluginError(str(error)) from error


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Expand the markers of the reference, and lead links to where the files are in the site."""
    place = page.file.src_uri
    if place.startswith("source/"):
        return markdown
    if place.startswith("lessons/"):  # long, and full of code: a search shows the guides first
        page.meta["search"] = {"boost": 0.5}
    try:
        text = command_reference.expanded(api_reference.expanded(markdown))
    except ValueError as error:
        raise PluginError(f"{place}: {error}") from error
    return links_of(text, origins.get(place, f"docs/{place}"), place)[0]


def on_page_content(html: str, **_: Any) -> str:
    """Drop the backslash of a bar in a table's code, which Markdown leaves there."""
    return CELL.sub(lambda cell: cell[0].replace("\\|", "|"), html)
