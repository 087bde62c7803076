"""A window that shows frames, and whether a screen is available."""

import importlib
import os
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from footlight.contexts import default_variables
from footlight.errors import UserError
from footlight.instruments.video import Frame

# SDL would turn SIGTERM into an event of a window, and Ctrl-C where Python handles no signals
SDL_LEAVES_SIGNALS = {"SDL_NO_SIGNAL_HANDLERS": "1"}


def require_screen() -> None:
    """Raise `UserError` where no window can be opened."""
    if lacks_screen():
        raise UserError(
            "there is no screen to open a window on - record a file instead, with --video FILE.mp4"
        )


def lacks_screen() -> bool:
    """Return whether this is a Linux machine without a display."""
    return sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def show(frames: Iterable[Frame], fps: float, title: str) -> None:
    """Show uint8 frames [height, width, 3] of one size, `fps` per second.

    Ends with the last frame, when the window is closed, or with Escape.
    Raises `UserError` where no window can be opened.
    """
    with default_variables(PYGAME_HIDE_SUPPORT_PROMPT="1"):  # a banner on stdout
        pygame: Any = importlib.import_module("pygame")
    screen: Any = None
    clock = pygame.time.Clock()
    try:
        for frame in frames:
            size = frame.shape[1], frame.shape[0]
            if screen is None:
                screen = _open(pygame, size, title)
            screen.blit(
                pygame.image.frombuffer(np.ascontiguousarray(frame).tobytes(), size, "RGB"), (0, 0)
            )
            pygame.display.flip()
            for event in pygame.event.get():
                if event.type == pygame.QUIT or (
                    event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE
                ):
                    return
            clock.tick(fps)
    finally:
        pygame.display.quit()


def _open(pygame: Any, size: tuple[int, int], title: str) -> Any:
    try:
        with default_variables(**SDL_LEAVES_SIGNALS):
            pygame.display.init()
        screen = pygame.display.set_mode(size)
    except pygame.error as error:
        raise UserError(
            f"no window can be opened - {error} - record a file instead, with --video FILE.mp4"
        ) from error
    pygame.display.set_caption(title)
    return screen
