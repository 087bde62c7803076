"""The catalog: every entry is complete, belongs to a check, and names fields that exist."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import footlight.doctor
from footlight.algorithms import ALGORITHMS, config_class
from footlight.config.fields import build
from footlight.doctor.catalog import CATALOG
from footlight.doctor.findings import finding, remedy_for
from footlight.doctor.remedies import FIELD, fits
from footlight.learning.agent import Agent

IN_BRACES = {
    name
    for entry in CATALOG.values()
    for option in entry.remedy
    for name, _, _ in FIELD.findall(option)
}
WORD = re.compile(r"(?<![.\w])[a-z]+(?:_[a-z0-9]+)*\b")


def default_fields(algorithm: str) -> dict[str, Any]:
    """The fields of an algorithm's config, and their defaults."""
    return asdict(config_class(algorithm)())


def test_catalog_and_checks_have_the_same_names() -> None:
    files = Path(footlight.doctor.__file__).parent.glob("*_checks.py")
    used = {
        name for path in files for name in re.findall(r'"([a-z]+(?:-[a-z]+)+)"', path.read_text())
    } | {"diverged", "forgets", "no-reward-yet", "buffer-ends-at-limits"}
    assert used == CATALOG.keys()


@pytest.mark.parametrize("name", [*CATALOG])
def test_entry_is_a_line_each(name: str) -> None:
    found = finding(name, "warning", "1; at most 0", 10)
    for text in (found.title, found.meaning, found.remedy, found.source):
        assert text.strip()
        assert "\n" not in text
        assert not text.endswith(".")
        assert not {"{", "}", ">"} & set(text)
    assert 0 < found.confidence < 1


def test_fields_in_remedies_exist() -> None:
    known = {name for algorithm in ALGORITHMS for name in default_fields(algorithm)}
    assert known >= IN_BRACES


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_remedies_name_only_fields_that_the_config_has(algorithm: str) -> None:
    fields = default_fields(algorithm)
    for check in CATALOG:
        remedy = remedy_for(check, fields)
        assert 1 <= len(remedy.split("; ")) <= 3, check
        words = WORD.findall(remedy)
        named = {word for word in words if "_" in word or word in IN_BRACES}
        assert named <= fields.keys(), (check, remedy)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_values_in_remedies_are_valid_and_proposed_once(algorithm: str) -> None:
    fields = default_fields(algorithm)
    changes = {
        (name, old, new)
        for entry in CATALOG.values()
        for option in entry.remedy
        for name, old, new in FIELD.findall(option)
        if name in fields and str(fields[name]).lower() == old
    }
    assert changes
    for name, _, new in changes:
        changed = asdict(build(config_class(algorithm), {name: new}))
        assert str(changed[name]).lower() in {new, f"{new}.0"}
        for check in CATALOG:
            assert f"{name} to {new}" not in remedy_for(check, changed)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_changes_in_remedies_go_with_the_other_values(algorithm: str) -> None:
    fields = default_fields(algorithm)
    takes_choices = algorithm in ("sac-discrete", "replay-actor-critic")
    actions: Any = Discrete(3) if takes_choices else Box(-1, 1, (2,), np.float32)
    small = {name: (8, 8) for name in ("hidden_sizes", "actor_hidden_sizes") if name in fields}
    for option in {option for entry in CATALOG.values() for option in entry.remedy}:
        values = {name: new for name, _, new in FIELD.findall(option) if new}
        if values and fits(option, fields):
            spaces = Box(-1, 1, (3,), np.float32), actions
            agent = Agent(algorithm, *spaces, **{**small, **values})
            changed = asdict(agent.config)
            assert all(str(changed[name]).lower().startswith(values[name]) for name in values)


def test_remedy_follows_the_algorithm() -> None:
    assert "dropped_quantiles" in remedy_for("critic-underestimates", default_fields("tqc"))
    assert "target_rule to mean" in remedy_for("critic-underestimates", default_fields("sac"))
    assert remedy_for("critic-overestimates", default_fields("sac")) == (
        "raise num_critics; set norm to layer; lower updates_per_step"
    )
    assert "set layer_norm to true" in remedy_for("critic-overestimates", default_fields("ppo"))
    assert "actor_step_size" in remedy_for("learning-rate-too-low", default_fields("stream-ac"))
