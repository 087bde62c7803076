"""A window without a screen: SDL's dummy driver opens one that nobody sees."""

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from footlight.errors import UserError
from footlight.instruments.video import Frame
from footlight.instruments.window import show

pygame = pytest.importorskip("pygame")


@pytest.fixture(autouse=True)
def nobody_sees(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    yield
    pygame.quit()


class Film:
    """Forty frames, each of its own brightness; after the third something happens."""

    def __init__(self, then: Any = None) -> None:
        self.then, self.shown, self.closed = then, list[int](), False

    def __iter__(self) -> Iterator[Frame]:
        try:
            for brightness in range(40):
                if self.shown:
                    assert pygame.display.get_surface().get_at((5, 7))[:3] == (self.shown[-1],) * 3
                self.shown.append(brightness)
                yield np.full((30, 40, 3), brightness, np.uint8)
                if len(self.shown) == 3 and self.then is not None:
                    self.then()
        finally:
            self.closed = True


def test_all_frames_are_shown_and_the_window_closed() -> None:
    film = Film(
        lambda: pygame.display.get_caption()[0] == "a title" or pytest.fail("another title")
    )
    show(film, 1000, "a title")
    assert film.shown == list(range(40))
    assert not pygame.display.get_init()


def test_frames_come_at_their_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    class Clock:
        def tick(self, fps: float) -> None:
            asked.append(fps)

    monkeypatch.setattr(pygame.time, "Clock", Clock)
    show(Film(), 15.0, "")
    assert asked == [15.0] * 40


@pytest.mark.parametrize(
    "event",
    [pygame.event.Event(pygame.QUIT), pygame.event.Event(pygame.KEYDOWN, key=pygame.K_ESCAPE)],
    ids=["button", "escape"],
)
def test_window_closes_at_the_users_request(event: Any) -> None:
    film = Film(lambda: pygame.event.post(event))
    show(film, 1000, "")
    assert film.shown == [0, 1, 2, 3]
    assert not pygame.display.get_init()


def test_ctrl_c_ends_it_and_closes_the_window() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        show(Film(interrupt), 1000, "")
    assert not pygame.display.get_init()


def test_missing_window_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    monkeypatch.delenv("DISPLAY", raising=False)
    importlib.import_module("pygame").quit()
    with pytest.raises(UserError, match=r"no window can be opened - .* --video FILE\.mp4"):
        show(Film(), 1000, "")
