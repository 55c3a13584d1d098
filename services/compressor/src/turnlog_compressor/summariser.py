"""Make the text of one summary: by the model where one is set and answers, else by choosing lines.

Enters: the turns or nodes of a step. Leaves: a `Summary`, always: no failure of a model comes further than this.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from turnlog_compressor.attempts import Attempts
from turnlog_compressor.extractive import LEAF_TOKENS, ROLLED_TOKENS, Draft, roll_up, summarise_turns
from turnlog_compressor.models import ModelError
from turnlog_compressor.prompt import PROMPT_VERSION, Prompt, prompt_for_lines, prompt_for_turns
from turnlog_compressor.source import SourceTurn
from turnlog_events.compose import Line, Node, render
from turnlog_events.tokens import count_tokens, load

EXTRACTIVE = "extractive-1"
"""The `model` of a summary that no model wrote. The number rises when the same turns would give another text."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SummariserSettings:
    """Sizes in tokens by level. Levels up to `model_levels` are written by the model; above them, lines are chosen
    word for word, so that nothing is told again of what was told again (docs/adr/0004)."""

    leaf_tokens: int = LEAF_TOKENS
    rolled_tokens: int = ROLLED_TOKENS
    model_levels: int = 1


@dataclass(frozen=True, slots=True)
class Summary:
    """The text of a summary to be, and what it cost. `fell_back`: a model was asked and gave none. `covered_tokens`
    are those of what it is made from, `text_tokens` its own, whoever wrote it."""

    lines: tuple[Line, ...]
    text: str
    model: str
    prompt_version: str
    tokens_in: int
    tokens_out: int
    fell_back: bool = False
    covered_tokens: int = 0
    text_tokens: int = 0

    @property
    def model_kind(self) -> str:
        """`extractive` or `model`, for metrics."""
        return "extractive" if self.model == EXTRACTIVE else "model"


class Summariser:
    """Makes summaries. Without `attempts` there is no model, no network and no key."""

    def __init__(self, attempts: Attempts | None = None, settings: SummariserSettings | None = None) -> None:
        self._attempts = attempts
        self._settings = settings or SummariserSettings()

    async def load(self) -> None:
        """Read the token ranks ahead of the first count (0.3 s that the event loop should not spend)."""
        await asyncio.to_thread(load)

    async def close(self) -> None:
        """Close the model's connections."""
        if self._attempts is not None:
            await self._attempts.close()

    async def of_turns(self, turns: Sequence[SourceTurn], earlier: Sequence[Node], tenant: str = "") -> Summary:
        """A level-1 summary. `earlier` are nodes before these turns: they tell what is not new. The model's tokens are
        on the account of `tenant`."""
        budget = self._settings.leaf_tokens
        at = {turn.version: turn.at for turn in turns}
        tokens_in = await _counted("\n".join(turn.text for turn in turns))

        def chosen() -> Draft:
            return summarise_turns(turns, earlier, budget, count_tokens)

        asks = self._attempts is not None and any(turn.text.strip() for turn in turns)
        prompt = prompt_for_turns(turns, budget) if asks and self._settings.model_levels >= 1 else None
        return await self._made(prompt, at, budget, chosen, tokens_in, tenant)

    async def of_nodes(self, nodes: Sequence[Node], level: int, tenant: str = "") -> Summary:
        """A summary of `level` (2 or higher) from nodes below it."""
        budget = self._settings.rolled_tokens
        lines = sorted((line for node in nodes for line in node.lines), key=lambda line: line.version)
        at = {line.version: line.at for line in lines}
        tokens_in = await _counted("\n".join(line.text for line in lines))

        def chosen() -> Draft:
            return roll_up(nodes, budget, count_tokens)

        asks = self._attempts is not None and lines and level <= self._settings.model_levels
        prompt = prompt_for_lines(lines, budget) if asks else None
        return await self._made(prompt, at, budget, chosen, tokens_in, tenant)

    async def _made(
        self,
        prompt: Prompt | None,
        at: dict[int, str],
        budget: int,
        chosen: Callable[[], Draft],
        tokens_in: int,
        tenant: str,
    ) -> Summary:
        if prompt is not None and self._attempts is not None:
            try:
                answer = await self._attempts.ask(prompt, at, budget, tenant)
                lines = await asyncio.to_thread(_within, answer.lines, budget)
                text = render(lines)
                return Summary(
                    lines, text, answer.model, PROMPT_VERSION, answer.tokens_in, answer.tokens_out,
                    covered_tokens=tokens_in, text_tokens=await _counted(text),
                )  # fmt: skip
            except ModelError as error:
                _log.warning("summary_fell_back", kind=error.kind)
        # In a thread: a window of long documents takes longer than the loop should be away.
        draft = await asyncio.to_thread(chosen)
        text = render(draft.lines)
        text_tokens = await _counted(text)
        return Summary(
            draft.lines, text, EXTRACTIVE, "", tokens_in, text_tokens,
            fell_back=prompt is not None, covered_tokens=tokens_in, text_tokens=text_tokens,
        )  # fmt: skip


def _within(lines: tuple[Line, ...], budget: int) -> tuple[Line, ...]:
    """The lines that fit into twice the budget, the most telling first: a model that runs on must not fill the memory
    of a session, and a little too much is no reason to lose anything."""
    if sum(count_tokens(line.text) for line in lines) <= 2 * budget:
        return lines
    versions = [line.version for line in lines]
    node = Node(min(versions), max(versions), 1, 1, lines, "")
    return roll_up([node], 2 * budget, count_tokens).lines


async def _counted(text: str) -> int:
    return await asyncio.to_thread(count_tokens, text)
