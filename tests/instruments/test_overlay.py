"""The panel, read back from its pixels: every mark is in its place."""

import numpy as np
import pytest

from footlight.instruments.overlay import (
    MIN_HEIGHT,
    WIDTH,
    Bar,
    Moment,
    Overlay,
    enlarged,
    number,
)
from footlight.instruments.video import Frame

BLUE, ORANGE, GREEN = (0, 114, 178), (213, 94, 0), (0, 158, 115)  # value, return, policy
NOTHING = Moment(None, None, None, "", [])


def where(panel: Frame, color: tuple[int, int, int]) -> Frame:
    """Rows and columns of the pixels of about this color."""
    return np.argwhere((np.abs(panel.astype(int) - color) < 40).all(-1))


def drawn(overlay: Overlay, index: int, moment: Moment) -> Frame:
    """The panel beside a frame of its own height."""
    frame = np.full((MIN_HEIGHT, 640, 3), 77, np.uint8)
    film = overlay.draw(frame, index, moment)
    assert (film[:, :640] == 77).all()
    return film[:, 640:]


@pytest.mark.parametrize(
    ("size", "scaled"),
    [
        ((210, 160), (420, 320)),
        ((400, 600), (400, 600)),
        ((500, 500), (500, 500)),
        ((33, 65), (297, 585)),
    ],
)
def test_frames_are_enlarged_by_integer_factors_and_videos_have_even_sizes(
    size: tuple[int, int], scaled: tuple[int, int]
) -> None:
    frame = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    assert enlarged(frame).shape == (*scaled, 3)
    factor = scaled[0] // size[0]
    np.testing.assert_array_equal(
        enlarged(frame)[factor // 2 :: factor, factor // 2 :: factor], frame
    )
    film = Overlay([1.0], [1.0], "").draw(frame, 0, NOTHING)
    assert film.dtype == np.uint8
    assert film.shape[0] >= MIN_HEIGHT
    assert film.shape[1] >= scaled[1] + WIDTH
    assert film.shape[0] % 2 == film.shape[1] % 2 == 0
    top = (film.shape[0] - scaled[0]) // 2
    np.testing.assert_array_equal(film[top : top + scaled[0], : scaled[1]], enlarged(frame))


def test_markers_move_with_time_and_value() -> None:
    overlay = Overlay([0.0, 1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0, 0.0], "units")
    plain = drawn(overlay, 2, NOTHING)
    places = {}
    for index in (0, 4):
        panel = drawn(overlay, index, Moment(float(index), 4.0 - index, None, "", []))[60:162]
        changed = (panel != plain[60:162]).any(-1)
        for name, color in (("value", BLUE), ("return", ORANGE)):
            spots = np.argwhere(changed & (panel == color).all(-1))
            places[name, index] = spots.mean(0)
    assert places["value", 0][1] < places["value", 4][1] - 250
    assert places["value", 4][0] < places["value", 0][0] - 70  # higher is further up
    assert places["return", 0][0] < places["return", 4][0] - 70
    np.testing.assert_allclose(places["value", 0][1], places["return", 0][1], atol=2)


def test_lines_end_where_nothing_is_known() -> None:
    panel = drawn(Overlay([1.0] * 50 + [None] * 51, [None] * 101, "units"), 0, NOTHING)[60:162]
    assert len(where(panel, ORANGE)) == 0
    assert where(panel, BLUE)[:, 1].max() == pytest.approx((58 + 348) / 2, abs=4)


def test_length_of_a_bar_is_its_share() -> None:
    bars = [Bar("left", 0.0, 0.25, None, "0.25"), Bar("right", 0.0, 0.75, None, "0.75")]
    panel = drawn(
        Overlay([1.0], [1.0], ""), 0, Moment(1.0, 1.0, 0.5, "action probabilities", bars)
    )[268:]
    spots = where(panel, GREEN)
    short, long = (np.ptp(spots[(spots[:, 0] // 16) == row][:, 1]) for row in (0, 1))
    assert long / short == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize("count", [1, 9, 10, 18, 60])
def test_many_and_large_numbers_stay_inside(count: int) -> None:
    bars = [
        Bar(f"a very long name {place}", -1.0, 2.0, 5.0, "-1234567.89 ± 1234567.89")
        for place in range(count)
    ]
    overlay = Overlay(
        [1e300, -1e300, float("1e-300")], [None, 0.0, -1e300], "words " * 60, "words " * 60
    )
    panel = drawn(overlay, 1, Moment(-1.2345e200, 1e300, 1e10, "a heading", bars))
    ink = (panel.astype(int).sum(-1) < 600) & (panel.max(-1) < 200)
    assert not ink[:, :2].any()
    assert not ink[:, -8:].any()
    assert not ink[-3:].any()
    assert not ink[:3].any()


def test_unknown_numbers_are_drawn_as_a_dash() -> None:
    overlay = Overlay([float("nan"), float("inf"), 1.0], [None, None, None], "")
    nothing = drawn(overlay, 0, Moment(None, None, None, "", []))
    np.testing.assert_array_equal(
        drawn(overlay, 0, Moment(float("nan"), float("inf"), float("nan"), "", [])), nothing
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.00"),
        (1.5, "1.50"),
        (-0.04123, "-0.0412"),
        (99.96, "100"),
        (1234.5, "1,234"),
        (1.5e7, "1.50e7"),
        (2e-7, "2.00e-7"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text
