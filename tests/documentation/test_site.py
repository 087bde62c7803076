"""The documentation site: its navigation, and what it adds to the pages. MkDocs is not needed."""

import base64
import json
import re
from pathlib import Path

import lesson_pages
import pytest
import yaml
from documentation.pages import ROOT

import api_reference
import command_reference
import footlight
import links

DOCS = ROOT / "docs"
CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
REFERENCE = sorted((DOCS / "reference").glob("*.md"))


def entries(navigation: object) -> list[str]:
    """The pages that a navigation names."""
    if isinstance(navigation, str):
        return [navigation]
    parts = navigation.values() if isinstance(navigation, dict) else navigation
    assert isinstance(parts, list | type({}.values()))
    return [page for part in parts for page in entries(part)]


def test_every_page_is_in_the_navigation_once_and_every_entry_exists() -> None:
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    pages |= {place for place in links.PLACES.values() if place != "index.md"}
    listed = entries(CONFIG["nav"])
    assert sorted(listed) == sorted(pages)
    assert all((ROOT / path).is_file() for path in links.PLACES)


def test_nothing_is_loaded_from_elsewhere() -> None:
    assert CONFIG["theme"]["font"] is False
    files = [*CONFIG["extra_css"], *CONFIG["extra_javascript"], *CONFIG["extra"]["polyfills"]]
    assert all((DOCS / file).is_file() for file in files)
    assert "repo_url" not in CONFIG
    for path in (DOCS / "assets").rglob("*.css"):
        assert not re.search(r"@import|url\(['\"]?http", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.stem)
def test_every_marker_of_the_reference_expands(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    made = command_reference.expanded(api_reference.expanded(text))
    assert "<!-- api" not in made
    assert "<!-- command" not in made
    headings = re.findall(r"^## .*$", made, re.MULTILINE)
    assert len(headings) == len(set(headings))


def test_every_public_name_is_in_the_reference() -> None:
    assert api_reference.named_on_pages() >= set(footlight.__all__)


def test_every_command_is_in_the_reference() -> None:
    text = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    shown = {match["what"] for match in command_reference.MARKER.finditer(text)}
    assert shown == command_reference.parsers().keys() | {"options"}


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"footlight\.fly, which does not exist"):
        api_reference.expanded("<!-- api footlight.fly -->")
    with pytest.raises(ValueError, match="the command 'fly', which does not exist"):
        command_reference.expanded("<!-- command fly -->")


def test_parameters_of_a_docstring_become_a_list() -> None:
    text = "Fly.\n\nfar, high: how. speed: in\n    m/s. Raises `UserError`.\nwind: none * two."
    lines = "\n".join(api_reference.described(text, {"far", "high", "speed", "wind"}))
    assert "* `far`, `high`: how." in lines
    assert "* `speed`: in m/s. Raises `UserError`." in lines
    assert "* `wind`: none \\* two." in lines


def test_signatures_are_those_of_the_source() -> None:
    made = "\n".join(api_reference.entry("footlight.train"))
    assert "    environment: EnvironmentLike,\n    *,\n" in made
    assert "\n) -> Run\n```" in made
    assert "* `preset`: True applies the tuned values" in made
    assert "### Run.evaluate" in "\n".join(api_reference.entry("footlight.Run"))


def test_fields_and_options_have_values_defaults_and_meanings() -> None:
    rows = "\n".join(api_reference.entry("footlight.SACConfig", is_config=True))
    assert re.search(r"^\| `tau` \| `0.005` \| Fraction .* \*A number ", rows, re.MULTILINE)
    resume = command_reference.expanded("<!-- command resume -->")
    assert "| `--max-time SECONDS` | save and stop after this time; none: off |" in resume
    assert "`--stop-at-return VALUE`" in command_reference.expanded("<!-- command options -->")


# Links


def test_links_lead_to_where_files_are_in_the_site() -> None:
    text = "[a](../SECURITY.md#what-is-not) [b](hooks.md) `[c](x.md)`\n```\n[d](y.md)\n```\n"
    made, named = links.rewritten(text.replace("`[c](x.md)`", ""), "docs/design.md", "design.md")
    assert "[a](security.md#what-is-not) [b](hooks.md)" in made
    assert "[d](y.md)" in made
    assert named == {"SECURITY.md", "docs/hooks.md"}
    made, named = links.rewritten("[x](../benchmarks/results/kill.txt)", "docs/a.md", "a.md")
    assert made == "[x](source/benchmarks/results/kill.txt.md)"
    assert "# benchmarks/results/kill.txt" in links.source_page(*named)


def test_links_to_missing_files_are_refused() -> None:
    with pytest.raises(ValueError, match=r"missing\.md leads to no page"):
        links.rewritten("[x](missing.md)", "docs/design.md", "design.md")


def test_a_lesson_that_is_not_executed_yet_is_no_link() -> None:
    made, named = links.rewritten("[one](9-none.ipynb)", "lessons/README.md", "lessons/index.md")
    assert (made, named) == ("one", set())


# Lessons


def cell(kind: str, source: str, *outputs: dict[str, object]) -> dict[str, object]:
    return {"cell_type": kind, "source": source, "outputs": list(outputs), "metadata": {}}


def test_notebook_becomes_a_page(tmp_path: Path) -> None:
    image = base64.b64encode(b"data").decode()
    progress = {"output_type": "stream", "text": ["\x1b[31mstep 1\rstep 2\n"]}
    figure = {"output_type": "display_data", "data": {"image/png": image, "text/plain": "<F>"}}
    video = {"output_type": "execute_result", "data": {"text/html": "<video>\n\n</video>"}}
    cells = [
        cell("markdown", "# A title\n\nText with $x^2$."),
        cell("code", "print(1)", progress, figure, video),
    ]
    path = tmp_path / "1-one.ipynb"
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    lesson = lesson_pages.lesson(path)
    assert lesson.title == "A title"
    assert "```py\nprint(1)\n```" in lesson.text
    assert "```text\nstep 2\n```" in lesson.text
    assert "](1-one-1.png)" in lesson.text
    assert '<div class="output">\n<video>\n</video>\n</div>' in lesson.text
    assert lesson.images == {"1-one-1.png": b"data"}


def test_properties_are_set_in_italics_and_no_table_of_options_is_empty() -> None:
    lines = list(api_reference.class_entry(footlight.Evaluation, "Evaluation"))
    assert any(line.startswith("*Property*: `float`. Mean") for line in lines)
    options = "\n".join(command_reference.train_options())
    assert not re.search(r"\| --- \| --- \|\n(?!\|)", options)
