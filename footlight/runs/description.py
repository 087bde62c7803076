"""A run folder in a line, or as a table of a notebook. Nothing here raises."""

import contextlib
import html
import json
from pathlib import Path
from typing import Any


def facts(folder: Path) -> dict[str, str]:
    """What a run folder says of itself, by name; only the folder where it says nothing."""
    found = {"folder": str(folder)}
    config, result = _object(folder / "config.json"), _object(folder / "result.json")
    if config:
        found["training"] = f"{config.get('algorithm')} on {config.get('environment')}"
        found["seed"] = str(config.get("seed"))
    if result:
        reason = result.get("stop_reason")
        found["status"] = f"{result.get('status')}{f': {reason}' if reason else ''}"
        found["steps"] = f"{result.get('steps', 0):,}"
        final = result.get("final_evaluation")
        if isinstance(final, dict):
            mean, std = final.get("mean_return", 0), final.get("std_return", 0)
            found["final evaluation"] = f"{mean:.1f} ± {std:.1f}"
    elif config:
        found["status"] = "has not ended"
    return found


def line(folder: Path) -> str:
    """The facts in one line, after the folder."""
    known = facts(folder)
    parts = [known.get("training", "")]
    if "steps" in known:
        parts.append(f"{known['status']} at step {known['steps']}")
    else:
        parts.append(known.get("status", ""))
    if "final evaluation" in known:
        parts.append(f"final evaluation {known['final evaluation']}")
    return ", ".join(filter(None, parts))


def table(folder: Path) -> str:
    """The facts as an HTML table."""
    rows = "".join(
        f"<tr><th style='text-align: left'>{html.escape(name)}</th>"
        f"<td style='text-align: left'>{html.escape(text)}</td></tr>"
        for name, text in facts(folder).items()
    )
    return f"<table>{rows}</table>"


def _object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    return {}
