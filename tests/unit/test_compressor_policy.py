"""When a session is due: given what is known of it, when time stands at so much, then this reason or none."""

import pytest

from turnlog_compressor.policy import PolicySettings, Reason, Standing, due, may_become_idle

SETTINGS = PolicySettings(turns=40, tokens=3_000, idle_s=600, idle_turns=8)


def standing(turns: int = 0, tokens: int = 0, silent_s: float = 0.0, **asked: bool) -> Standing:
    return Standing(turns, tokens, silent_s, **asked)


@pytest.mark.parametrize(
    ("given", "then"),
    [
        (standing(turns=39, tokens=2_999), None),
        (standing(turns=40), Reason.TURNS),
        (standing(turns=3, tokens=3_000), Reason.TOKENS),
        (standing(turns=8, silent_s=599.9), None),
        (standing(turns=8, silent_s=600), Reason.IDLE),
        (standing(turns=7, silent_s=86_400), None),
        (standing(turns=0, requested=True), Reason.REQUESTED),
        (standing(turns=0, retracted=True), Reason.RETRACTED),
        (standing(turns=50, retracted=True, requested=True), Reason.REQUESTED),
    ],
)
def test_a_session_is_due_for_the_most_urgent_reason_that_holds(given: Standing, then: Reason | None) -> None:
    assert due(given, SETTINGS) == then


def test_silence_alone_makes_due_only_what_has_enough_turns() -> None:
    assert may_become_idle(standing(turns=8), SETTINGS)
    assert not may_become_idle(standing(turns=7), SETTINGS)


@pytest.mark.parametrize(
    "wrong",
    [{"tail_turns": 40}, {"tail_tokens": 3_000}, {"idle_turns": 0}, {"idle_turns": 41}, {"idle_s": 0}],
)
def test_settings_that_could_never_make_progress_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        PolicySettings(**wrong)
