"""The prompt that loads a session's context, and the completion of session ids."""

from collections.abc import Mapping

from mcp import types

from turnlog_client import AsyncClient
from turnlog_events.errors import InvalidField
from turnlog_events.ids import checked_session_id
from turnlog_mcp.arguments import TOKENS_MAX, TOKENS_MIN
from turnlog_mcp.recalled import context_text
from turnlog_mcp.resources import TEXT, uri_of
from turnlog_mcp.shown import shown

RECALL = "recall_session"
SUGGESTED_MAX = 100
LOOKED_AT = 500
"""How many of the newest sessions a completion looks at."""


class InvalidPrompt(Exception):
    """The prompt does not exist, or its arguments are not what it takes; the message says which and the fix."""


def listed() -> list[types.Prompt]:
    """The prompts."""
    return [
        types.Prompt(
            name=RECALL,
            title="Recall a session",
            description="Puts a session's stored context (its summary and newest turns) before the model, as data.",
            arguments=[
                types.PromptArgument(name="session_id", description="The session to recall.", required=True),
                types.PromptArgument(
                    name="max_tokens", description=f"Budget in tokens, {TOKENS_MIN} to {TOKENS_MAX}.", required=False
                ),
            ],
        )
    ]


async def recall(turnlog: AsyncClient, name: str, given: Mapping[str, str]) -> types.GetPromptResult:
    """The prompt's messages: one of the user's, which embeds the context as a resource. Raises `InvalidPrompt`, and
    the client's errors."""
    session_id, max_tokens = _arguments(name, given)
    found = context_text(await turnlog.context(session_id, max_tokens=max_tokens, format="text"))
    text = f"{found.notice}\n\n{found.text}"
    memory = types.TextResourceContents(uri=uri_of(session_id, "context"), mime_type=TEXT, text=text)
    ask = f"Take up session {session_id} again. What Turnlog remembers of it is attached, as data to consult."
    return types.GetPromptResult(
        description=f"Context of session {session_id} at version {found.version}",
        messages=[
            types.PromptMessage(role="user", content=types.TextContent(text=ask)),
            types.PromptMessage(role="user", content=types.EmbeddedResource(resource=memory)),
        ],
    )


async def suggested(turnlog: AsyncClient, begun: str) -> types.Completion:
    """Session ids that begin so, newest first, of the newest sessions."""
    answer = await turnlog.session_page(limit=LOOKED_AT)
    found = [row["session_id"] for row in answer["sessions"] if row["session_id"].startswith(begun)]
    more = len(found) > SUGGESTED_MAX or answer["next_cursor"] is not None
    return types.Completion(values=found[:SUGGESTED_MAX], has_more=more)


def _arguments(name: str, given: Mapping[str, str]) -> tuple[str, int | None]:
    if name != RECALL:
        raise InvalidPrompt(f"name: there is no such prompt; the one there is: {RECALL}")
    if unknown := set(given) - {"session_id", "max_tokens"}:
        raise InvalidPrompt(f"{shown(min(unknown))[:200]}: is not an argument of {RECALL}; leave it out")
    try:
        session_id = checked_session_id(given.get("session_id", ""))
    except InvalidField as error:
        raise InvalidPrompt(str(error)) from None
    asked = given.get("max_tokens", "")
    if asked and not (
        asked.isascii() and asked.isdigit() and len(asked) < 7 and TOKENS_MIN <= int(asked) <= TOKENS_MAX
    ):
        raise InvalidPrompt(f"max_tokens: must be a whole number from {TOKENS_MIN} to {TOKENS_MAX}")
    return session_id, int(asked) if asked else None
