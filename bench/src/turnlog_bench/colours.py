"""Colours of the pictures: each is to be seen on white and on the dark of a code host's night mode. Pure."""

WHITE, NIGHT = "#ffffff", "#0d1117"
TEXT = "#7b7b7b"
"""Text, axes and yardsticks."""
LINES = ("#3a82cf", "#cc6a28", "#2f9350", "#a368d4", "#d2524f", "#2a92a0", "#a07c1e")


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, 1 to 21 (WCAG 2.2, relative luminance)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
