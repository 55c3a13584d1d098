"""The model server as the compressor's own client meets it: good answers are summaries, bad ones each their error."""

from collections.abc import AsyncIterator

import pytest

from faults.model import MODES, Mode, ModelServer
from turnlog_compressor.models import ModelError
from turnlog_compressor.models.openai_compatible import OpenAICompatible
from turnlog_compressor.parse import Unreadable, parse
from turnlog_compressor.prompt import prompt_for_turns
from turnlog_compressor.source import SourceTurn

TURNS = [
    SourceTurn(n, "user", "Ann", f"Fact number {n} is that I like tea.", "2026-05-01T10:00:00Z") for n in (1, 2, 3)
]
PROMPT = prompt_for_turns(TURNS, 400)
KINDS = {
    "slow": {"timeout"},
    "silent": {"timeout"},
    "refuses": {"server_error", "rate_limited"},
    "half": {"connection", "garbage"},
    "endless": {"too_long"},
}


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    started = ModelServer.start()
    yield started
    started.close()


async def ask(server: ModelServer, deadline_s: float) -> str:
    model = OpenAICompatible("m", base_url=f"http://127.0.0.1:{server.port}/v1")
    try:
        return (await model.complete(PROMPT, max_tokens=400, deadline_s=deadline_s)).text
    finally:
        await model.close()


async def test_a_good_answer_is_a_summary_of_what_the_prompt_shows(server: ModelServer) -> None:
    lines = parse(await ask(server, 10), PROMPT, {})
    assert [line.version for line in lines] == [1, 3]
    assert "tea" in lines[0].text


@pytest.mark.parametrize("mode", KINDS)
async def test_a_bad_answer_is_an_error_of_its_kind(server: ModelServer, mode: Mode) -> None:
    server.mode = mode
    with pytest.raises(ModelError) as caught:
        await ask(server, 0.5 if mode in ("slow", "silent") else 20)
    assert caught.value.kind in KINDS[mode]
    assert server.served[mode] == 1


async def test_garbage_is_no_summary_in_any_of_its_forms(server: ModelServer) -> None:
    server.mode = "garbage"
    for _ in range(3):
        with pytest.raises((ModelError, Unreadable)):
            parse(await ask(server, 10), PROMPT, {})


def test_every_mode_is_tried() -> None:
    assert set(MODES) == {"ok", "garbage", *KINDS}
