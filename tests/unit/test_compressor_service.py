"""The compressor put together from settings."""

import pytest

from turnlog_compressor.models.anthropic import Anthropic
from turnlog_compressor.models.openai_compatible import OpenAICompatible
from turnlog_compressor.service import limits_of, model_of, summariser_of
from turnlog_runtime.settings import CompressorSettings, SettingsError


def settings(**given: object) -> CompressorSettings:
    return CompressorSettings(**given)  # type: ignore[arg-type]


def test_by_default_no_model_and_no_key_are_needed() -> None:
    assert model_of(settings()) is None
    assert summariser_of(settings()) is not None


def test_a_model_is_named_by_provider_and_name() -> None:
    local = model_of(settings(model_provider="openai", model_name="m", model_base_url="http://127.0.0.1:1/v1"))
    assert isinstance(local, OpenAICompatible)
    assert local.name == "m"
    assert isinstance(model_of(settings(model_provider="anthropic", model_name="m", model_api_key="k")), Anthropic)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"model_provider": "openai"}, "TURNLOG_MODEL_NAME"),
        ({"model_provider": "anthropic", "model_name": "m"}, "TURNLOG_MODEL_API_KEY"),
    ],
)
def test_what_is_missing_is_named(given: dict[str, str], names: str) -> None:
    with pytest.raises(SettingsError, match=names):
        model_of(settings(**given))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"compress_turns": 2, "compress_tail_turns": 50, "compress_idle_turns": 9},
        {"compress_tokens": 100},
        {"compress_turns": 5_000},
        {"rollup_fan_in": 2, "chapter_max_turns": 2},
    ],
)
def test_every_allowed_setting_gives_limits_that_make_progress(given: dict[str, int]) -> None:
    limits = limits_of(settings(**given))
    policy = limits.job.plan.policy
    assert policy.tail_turns < policy.turns
    assert limits.job.page_turns > policy.turns
