"""The memory tool that a model calls, synchronous and asynchronous: its commands as turns of one session."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anthropic import BaseModel
from anthropic.lib.tools import BetaAbstractMemoryTool, BetaAsyncAbstractMemoryTool, ToolError
from anthropic.types.beta import (
    BetaCacheControlEphemeralParam,
    BetaMemoryTool20250818CreateCommand,
    BetaMemoryTool20250818DeleteCommand,
    BetaMemoryTool20250818InsertCommand,
    BetaMemoryTool20250818RenameCommand,
    BetaMemoryTool20250818StrReplaceCommand,
    BetaMemoryTool20250818ViewCommand,
)

from turnlog_client import AsyncClient, Client, turn
from turnlog_client.frameworks.anthropic.files import FRAMEWORK, applied, files_of
from turnlog_client.frameworks.anthropic.views import viewed
from turnlog_client.frameworks.history import History, all_retracted, changed, history
from turnlog_client.frameworks.items import TurnTooLarge, with_item
from turnlog_client.frameworks.shown import Shown
from turnlog_client.steps import Steps, arun, run

CLEARED = "All memory cleared"


@dataclass(frozen=True)
class Members:
    """Who stands on every turn of a memory."""

    agent_id: str | None
    user_id: str | None


class TurnlogMemoryTool(BetaAbstractMemoryTool):
    """A memory that many writers may use at once: a command is stored only upon the state it was decided on, else
    decided anew. Deleting appends too: the log keeps every file there ever was. Raises `ToolError` with what the model
    is to read, and the client's errors.
    """

    def __init__(
        self,
        client: Client,
        session_id: str,
        *,
        agent_id: str | None = None,
        user_id: str | None = None,
        cache_control: BetaCacheControlEphemeralParam | None = None,
    ) -> None:
        """`session_id` is the session that holds this memory, and nothing else; `agent_id` and `user_id` stand on its
        turns."""
        super().__init__(cache_control=cache_control)
        self._client, self._session_id = client, session_id
        self._members = Members(agent_id, user_id)

    def view(self, command: BetaMemoryTool20250818ViewCommand) -> str:
        """Show a folder or a file."""
        return run(self._client, _viewing(self._session_id, command))

    def create(self, command: BetaMemoryTool20250818CreateCommand) -> str:
        """Create a file."""
        return self._change(command)

    def str_replace(self, command: BetaMemoryTool20250818StrReplaceCommand) -> str:
        """Replace a text that stands once in a file."""
        return self._change(command)

    def insert(self, command: BetaMemoryTool20250818InsertCommand) -> str:
        """Insert lines into a file."""
        return self._change(command)

    def delete(self, command: BetaMemoryTool20250818DeleteCommand) -> str:
        """Delete a file or a folder."""
        return self._change(command)

    def rename(self, command: BetaMemoryTool20250818RenameCommand) -> str:
        """Rename or move a file or a folder."""
        return self._change(command)

    def clear_all_memory(self) -> str:
        """Retract everything."""
        return run(self._client, _clearing(self._session_id))

    def _change(self, command: BaseModel) -> str:
        return run(self._client, _changing(self._session_id, _given(command), self._members))


class AsyncTurnlogMemoryTool(BetaAsyncAbstractMemoryTool):
    """`TurnlogMemoryTool` for an asynchronous client and runner."""

    def __init__(
        self,
        client: AsyncClient,
        session_id: str,
        *,
        agent_id: str | None = None,
        user_id: str | None = None,
        cache_control: BetaCacheControlEphemeralParam | None = None,
    ) -> None:
        """As `TurnlogMemoryTool`."""
        super().__init__(cache_control=cache_control)
        self._client, self._session_id = client, session_id
        self._members = Members(agent_id, user_id)

    async def view(self, command: BetaMemoryTool20250818ViewCommand) -> str:
        """Show a folder or a file."""
        return await arun(self._client, _viewing(self._session_id, command))

    async def create(self, command: BetaMemoryTool20250818CreateCommand) -> str:
        """Create a file."""
        return await self._change(command)

    async def str_replace(self, command: BetaMemoryTool20250818StrReplaceCommand) -> str:
        """Replace a text that stands once in a file."""
        return await self._change(command)

    async def insert(self, command: BetaMemoryTool20250818InsertCommand) -> str:
        """Insert lines into a file."""
        return await self._change(command)

    async def delete(self, command: BetaMemoryTool20250818DeleteCommand) -> str:
        """Delete a file or a folder."""
        return await self._change(command)

    async def rename(self, command: BetaMemoryTool20250818RenameCommand) -> str:
        """Rename or move a file or a folder."""
        return await self._change(command)

    async def clear_all_memory(self) -> str:
        """Retract everything."""
        return await arun(self._client, _clearing(self._session_id))

    async def _change(self, command: BaseModel) -> str:
        return await arun(self._client, _changing(self._session_id, _given(command), self._members))


def _given(command: BaseModel) -> dict[str, Any]:
    """The command as the model gave it, right or wrong."""
    return command.to_dict(warnings=False)


def _viewing(session_id: str, command: BetaMemoryTool20250818ViewCommand) -> Steps[str]:
    found = yield from history(session_id)
    return viewed(files_of(found.turns), getattr(command, "path", None), getattr(command, "view_range", None))


def _changing(session_id: str, command: Mapping[str, Any], members: Members) -> Steps[str]:
    def decide(found: History) -> tuple[list[dict[str, Any]], str]:
        told = applied(files_of(found.turns), command)
        return [_turn(command, members)], told

    return (yield from changed(session_id, decide))


def _clearing(session_id: str) -> Steps[str]:
    yield from all_retracted(session_id, "memory cleared")
    return CLEARED


def _turn(command: Mapping[str, Any], members: Members) -> dict[str, Any]:
    """The turn of a command: what it did in a line, and each text that it brought."""
    where = command.get("path") or f"{command['old_path']} to {command['new_path']}"
    brought = [command[name] for name in ("file_text", "old_str", "new_str", "insert_text") if command.get(name)]
    fields = Shown("assistant", (f"{command['command']} {where}", *brought)).fields()
    try:
        return with_item(FRAMEWORK, turn(**fields, agent_id=members.agent_id, user_id=members.user_id), dict(command))
    except TurnTooLarge as error:
        raise ToolError(f"{where} would take too much at once; write it in several smaller files ({error})") from error
