"""Helpers for messages."""

from typing import Any

import pytest

from footlight.errors import (
    RemoteError,
    UserError,
    counted,
    describe_error,
    missing_objects,
    printable,
    quoted,
    summarize_error,
)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("error", "description", "summary"),
    [
        (UserError("a\nb"), "a\nb", "a"),
        (RemoteError("a"), "a", "a"),
        (ValueError("a.\n\n b"), "ValueError: a. / b", "ValueError: a"),
        (Unprintable(), "Unprintable", "Unprintable"),
        (ValueError("x" * 2000), f"ValueError: {'x' * 1000}...", f"ValueError: {'x' * 2000}"),
        (ValueError(), "ValueError", "ValueError"),
    ],
)
def test_errors_are_described_and_summarized(
    error: Exception, description: str, summary: str
) -> None:
    assert describe_error(error) == description
    assert summarize_error(error) == summary


@pytest.mark.parametrize(
    ("run_config", "arguments"),
    [
        ({}, ""),
        ({"environment_source": "id", "network": None}, ""),
        ({"environment_source": "object", "network": None}, ", environment=..."),
        ({"environment_source": "id", "network": "Mine"}, ", network=..."),
        ({"environment_source": "file", "code": [{"use": "environment"}]}, ""),
        ({"network": "Mine", "code": [{"use": "network"}]}, ""),
        (
            {"eval_environment": {"environment": "f", "environment_source": "object"}},
            ", eval_environment=...",
        ),
        ({"eval_environment": {"environment": "CartPole-v1", "environment_source": "id"}}, ""),
    ],
)
def test_objects_that_no_file_holds_are_named(run_config: dict[str, Any], arguments: str) -> None:
    assert missing_objects(run_config) == arguments


def test_text_for_messages() -> None:
    assert (counted(1, "episode"), counted(2000, "episode")) == ("1 episode", "2,000 episodes")
    assert printable("a\x1b[31mb\nc") == "a?[31mb\nc"
    assert printable("σ", "ascii") == "?"
    assert quoted("a b") == "'a b'"
