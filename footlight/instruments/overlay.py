"""The panel beside a video's frames: the critic's value, the return that followed, the policy."""

import functools
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeGuard

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from footlight.instruments.colors import COLORS
from footlight.instruments.video import Frame

# Size of the panel in pixels; with higher frames it is as high as they are.
WIDTH, MIN_HEIGHT = 360, 420
# Width and height up to which small frames are enlarged, by an integer factor.
LARGEST_FRAME = (640, MIN_HEIGHT)

_VALUE, _RETURN, _POLICY = COLORS[0], COLORS[1], COLORS[2]
_PAPER, _INK, _PALE, _TRACK = "#ffffff", "#000000", "#767676", "#e6e6e6"
_MARGIN, _ROW, _SHORTEST_TRACK = 12, 16, 30
_PLOT = (58, 60, WIDTH - _MARGIN, 160)  # left, top, right, bottom
_WORDS_TOP, _WORDS_WIDTH = 180, 58  # pixels, letters
_POLICY_TOP, _ROWS_TOP = 232, 270


class Bar(NamedTuple):
    """One row of the policy: filled from `low` to `high`, marked at `mark`; all in [0, 1]."""

    name: str
    low: float
    high: float
    mark: float | None
    text: str


class Moment(NamedTuple):
    """The numbers and bars that are shown for one state; None if unknown."""

    value: float | None
    following: float | None
    entropy: float | None
    heading: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Overlay:
    """The panel of one episode.

    `values` and `returns` have one entry per state; None if unknown.
    """

    values: Sequence[float | None]
    returns: Sequence[float | None]
    units: str
    note: str = ""

    def draw(self, frame: Frame, index: int, moment: Moment) -> Frame:
        """Return the frame, enlarged if it is small, with the panel of state `index` beside it.

        Height and width are even.
        """
        frame = enlarged(frame)
        height, width = frame.shape[:2]
        canvas = Image.new(
            "RGB", (width + width % 2 + WIDTH, max(height + height % 2, MIN_HEIGHT)), _PAPER
        )
        canvas.paste(Image.fromarray(frame), (0, (canvas.height - height) // 2))
        panel = self._background.copy()
        self._draw_now(ImageDraw.Draw(panel), index, moment)
        _draw_policy(ImageDraw.Draw(panel), moment)
        canvas.paste(panel, (canvas.width - WIDTH, (canvas.height - MIN_HEIGHT) // 2))
        edge = canvas.width - WIDTH
        ImageDraw.Draw(canvas).line([(edge, 0), (edge, canvas.height)], _TRACK)
        return np.asarray(canvas)

    @functools.cached_property
    def _background(self) -> Image.Image:
        """The part that is the same for all states: axes, both lines, text."""
        panel = self._lines()
        draw = ImageDraw.Draw(panel)
        left, top, right, bottom = _PLOT
        low, high = self._range
        draw.text((left - 5, top - 2), number(high), _PALE, _font(11), "ra")
        draw.text((left - 5, bottom + 2), number(low), _PALE, _font(11), "rd")
        draw.text((left, bottom + 3), "step 0", _PALE, _font(11), "la")
        draw.text((right, bottom + 3), f"{len(self.values) - 1:,}", _PALE, _font(11), "ra")
        for row, line in enumerate([*textwrap.wrap(self.units, _WORDS_WIDTH)[:2], self.note]):
            draw.text(
                (_MARGIN, _WORDS_TOP + 15 * row),
                _shortened(line, WIDTH - 2 * _MARGIN, 11),
                _PALE,
                _font(11),
                "la",
            )
        return panel

    def _lines(self) -> Image.Image:
        """The plot without text, drawn three times as large and reduced: antialiased lines."""
        panel = Image.new("RGB", (3 * WIDTH, 3 * MIN_HEIGHT), _PAPER)
        draw = ImageDraw.Draw(panel)
        draw.rectangle([3 * pixel for pixel in _PLOT], outline=_TRACK, width=3)
        low, high = self._range
        if low < 0 < high:
            y = 3 * self._at(0, 0)[1]
            draw.line([(3 * _PLOT[0], y), (3 * _PLOT[2], y)], _TRACK, 3)
        for line, color in ((self.returns, _RETURN), (self.values, _VALUE)):
            points = [
                (3 * x, 3 * y)
                for x, y in (self._at(index, y) for index, y in enumerate(line) if _known(y))
            ]
            if len(points) > 1:
                draw.line(points, color, 6, "curve")
        return panel.resize((WIDTH, MIN_HEIGHT), Image.Resampling.LANCZOS)

    def _draw_now(self, draw: ImageDraw.ImageDraw, index: int, moment: Moment) -> None:
        names = (
            ("critic's value", moment.value, _VALUE),
            ("return that followed", moment.following, _RETURN),
        )
        for row, (name, value, color) in enumerate(names):
            y = _MARGIN - 2 + row * 22
            draw.rectangle((_MARGIN, y + 3, _MARGIN + 10, y + 13), color)
            draw.text((_MARGIN + 18, y), name, _INK, _font(13), "la")
            draw.text(
                (WIDTH - _MARGIN, y), number(value) if _known(value) else "–", _INK, _font(13), "ra"
            )
        _, top, _, bottom = _PLOT
        x = self._at(index, 0)[0]
        draw.line([(x, top), (x, bottom)], _INK)
        for _, value, color in reversed(names):
            if _known(value):
                draw.circle(self._at(index, value), 4, color, _PAPER)
        middle = min(max(x, _PLOT[0] + 75), _PLOT[2] - 75)
        draw.text((middle, bottom + 3), f"now {index:,}", _INK, _font(11), "ma")

    @functools.cached_property
    def _range(self) -> tuple[float, float]:
        known = [y for y in (*self.values, *self.returns) if _known(y)]
        low, high = min(known, default=0.0), max(known, default=1.0)
        return (
            (low, high)
            if high - low > 1e-6 * max(abs(low), abs(high), 1e-6)
            else (low - 1, high + 1)
        )

    def _at(self, index: int, y: float) -> tuple[float, float]:
        """The pixel of a value at a step, within the plot."""
        (left, top, right, bottom), (low, high) = _PLOT, self._range
        share = min(max((y - low) / (high - low), 0.0), 1.0)
        across = min(index / max(len(self.values) - 1, 1), 1.0)
        return left + 3 + across * (right - left - 6), bottom - 4 - share * (bottom - top - 8)


def _draw_policy(draw: ImageDraw.ImageDraw, moment: Moment) -> None:
    if _known(moment.entropy):
        draw.text((_MARGIN, _POLICY_TOP), "entropy of the policy", _INK, _font(13), "la")
        draw.text(
            (WIDTH - _MARGIN, _POLICY_TOP), f"{number(moment.entropy)} nats", _INK, _font(13), "ra"
        )
    draw.text((_MARGIN, _POLICY_TOP + 18), moment.heading, _INK, _font(13), "la")
    rows = (MIN_HEIGHT - _MARGIN // 2 - _ROWS_TOP) // _ROW
    columns = 1 if len(moment.bars) <= rows else 2
    width = (WIDTH - (1 + columns) * _MARGIN) // columns
    shown = moment.bars if len(moment.bars) <= rows * columns else moment.bars[: rows * columns - 1]
    texts = min(max((_font(11).getlength(bar.text) for bar in shown), default=0), width // 2) + 6
    names = (
        min(
            max((_font(11).getlength(bar.name) for bar in shown), default=0),
            width - texts - _SHORTEST_TRACK,
        )
        + 6
    )
    for place, bar in enumerate(shown):
        left, middle = (
            _MARGIN + place // rows * (width + _MARGIN),
            _ROWS_TOP + place % rows * _ROW + _ROW // 2,
        )
        draw.text((left, middle), _shortened(bar.name, names - 6, 11), _INK, _font(11), "lm")
        draw.text(
            (left + width, middle), _shortened(bar.text, texts - 6, 11), _INK, _font(11), "rm"
        )
        _draw_track(draw, bar, left + names, left + width - texts, middle)
    if len(shown) < len(moment.bars):
        left, middle = _MARGIN + width + _MARGIN, _ROWS_TOP + (rows - 1) * _ROW + _ROW // 2
        draw.text(
            (left, middle), f"and {len(moment.bars) - len(shown)} more", _PALE, _font(11), "lm"
        )


def _draw_track(draw: ImageDraw.ImageDraw, bar: Bar, start: float, end: float, middle: int) -> None:
    draw.rectangle((start, middle - 5, end, middle + 5), _TRACK)
    low, high = (start + min(max(share, 0.0), 1.0) * (end - start) for share in (bar.low, bar.high))
    if high > low:
        draw.rectangle((low, middle - 5, high, middle + 5), _POLICY)
    if bar.mark is not None:
        x = start + min(max(bar.mark, 0.0), 1.0) * (end - start)
        draw.rectangle((x - 1, middle - 7, x + 1, middle + 7), _INK)


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def enlarged(frame: Frame) -> Frame:
    """Enlarge a frame by the largest integer factor with which it fits into `LARGEST_FRAME`."""
    factor = max(1, min(LARGEST_FRAME[0] // frame.shape[1], LARGEST_FRAME[1] // frame.shape[0]))
    return frame if factor == 1 else frame.repeat(factor, 0).repeat(factor, 1)


def number(value: float) -> str:
    """Format a number with three significant digits: 1,235 12.3 0.0412 1.23e6."""
    if 99.95 <= abs(value) < 1e6:
        return f"{value:,.0f}"
    return f"{value:#.3g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    import matplotlib  # comes with a font that has ±

    return ImageFont.truetype(
        str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size
    )


def _shortened(text: str, width: float, size: int) -> str:
    """Shorten the text with an ellipsis if it is too wide."""
    font = _font(size)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
