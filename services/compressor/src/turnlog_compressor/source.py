"""A turn as the compressor sees it: what every summariser, extractive or by a model, is given."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceTurn:
    """One turn: `speaker` is the name shown (may be ""), `at` RFC 3339 or "", `text` as stored, unbounded."""

    version: int
    role: str
    speaker: str
    text: str
    at: str
