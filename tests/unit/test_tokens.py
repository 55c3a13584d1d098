"""Token counts: OpenAI's published examples, offline, and no text that hangs them."""

from importlib.resources import files

import pytest

from turnlog_events.tokens import count_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("tiktoken is great!", 6),
        ("antidisestablishmentarianism", 6),
        ("2 + 2 = 4", 7),
        ("お誕生日おめでとう", 9),
        ("<|endoftext|>", 7),
    ],
)
def test_counts_are_those_of_cl100k_base(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", ["a" * 200_000, " " * 200_000, "é" * 100_000, "\U0001f600" * 50_000])
def test_long_monotonous_text_is_counted_in_bounded_time(text: str) -> None:
    assert 0 < count_tokens(text) <= len(text.encode())


def test_the_licence_of_the_bundled_ranks_goes_with_them() -> None:
    licence = files("turnlog_events").joinpath("data/cl100k_base.LICENSE").read_text()
    assert licence.startswith("MIT License\n\nCopyright (c) 2022 OpenAI")
