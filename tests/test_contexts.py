"""Closing of environments and displays, and temporary environment variables."""

import contextlib
import os
import threading
from collections.abc import Iterator

import pytest

from footlight.contexts import close_quietly, closing, default_variables, polling, reporting_exit


class Stubborn:
    """An environment that cannot be closed."""

    def close(self) -> None:
        raise RuntimeError("stuck")


def test_errors_while_closing_are_reported_and_not_raised() -> None:
    messages: list[str] = []
    with closing(Stubborn(), messages.append):
        pass
    assert messages == ["closing the environment failed: RuntimeError: stuck"]
    close_quietly(Stubborn())


def test_errors_of_an_exit_are_reported_and_those_of_the_block_raised() -> None:
    @contextlib.contextmanager
    def manager() -> Iterator[int]:
        try:
            yield 3
        finally:
            raise OSError("gone")

    messages: list[str] = []
    with reporting_exit(manager(), "the display", messages.append) as value:
        assert value == 3
    assert messages == ["the display failed: OSError: gone"]
    with pytest.raises(ValueError, match="block"), reporting_exit(manager(), "it", messages.append):
        raise ValueError("block")


def test_variables_that_are_set_keep_their_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTLIGHT_A", "1")
    monkeypatch.delenv("FOOTLIGHT_B", raising=False)
    with default_variables(FOOTLIGHT_A="2", FOOTLIGHT_B="2"):
        assert (os.environ["FOOTLIGHT_A"], os.environ["FOOTLIGHT_B"]) == ("1", "2")
    assert "FOOTLIGHT_B" not in os.environ


def test_polling_ends_with_the_block() -> None:
    polled, before = threading.Event(), threading.active_count()
    with polling(polled.set, pause=0.001):
        assert polled.wait(timeout=60)
    assert threading.active_count() == before
