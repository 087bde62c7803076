"""The colors of curves: distinct, and dark enough for a white background."""

from footlight.instruments.colors import COLORS


def luminance(color: str) -> float:
    """Relative luminance of an sRGB color, https://www.w3.org/TR/WCAG21/#dfn-relative-luminance."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colors_are_distinct() -> None:
    assert len({color.lower() for color in COLORS}) == len(COLORS) == 7


def test_colors_contrast_with_white() -> None:
    for color in COLORS:
        contrast = 1.05 / (luminance(color) + 0.05)
        assert contrast > 2, f"{color} has a contrast of {contrast:.2f}"
