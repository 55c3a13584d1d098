"""The form of an MCP request: POST /mcp, its body read within its limit, parsed strictly, and of the version that its
head says.

The SDK parses again, with parsers that differ between versions and let through what the rest of Turnlog refuses
(duplicate keys, NaN). What passes here means the same to everyone who reads it.
"""

import json
from typing import Any

from mcp.types import HEADER_MISMATCH, PARSE_ERROR, PROTOCOL_VERSION_META_KEY
from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS

from turnlog_events.errors import InvalidField
from turnlog_events.strict_json import parse
from turnlog_mcp.shown import shown
from turnlog_runtime.asgi import App, Message, Receive, Scope, Send, header, read_body, respond
from turnlog_runtime.problems import Problem

PATH = "/mcp"
MESSAGE_MAX_CHARS = 500
VERSION_HEADER = b"mcp-protocol-version"


class OneMessage:
    """Hands a request on to the SDK with its form checked.

    Raises `Problem` 404 for another path, 405 for another method (there are no streams to GET and no sessions to
    DELETE), and 408, 413 and 415 as `read_body` does.
    """

    def __init__(self, app: App, body_max_bytes: int) -> None:
        self._app, self._body_max_bytes = app, body_max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["path"].rstrip("/") != PATH:
            raise Problem(404, "route_not_found", f"there is nothing here; MCP is served at {PATH}")
        if scope["method"] != "POST":
            message = f"{PATH} takes POST only: each request has its answer, there are no streams to open"
            raise Problem(405, "method_not_allowed", message, headers={"allow": "POST"})
        body = await read_body(scope, receive, self._body_max_bytes)
        try:
            message = parse(body)
        except InvalidField as error:
            await _refuse(send, PARSE_ERROR, shown(str(error))[:MESSAGE_MAX_CHARS], None)
            return
        if _claims_other_version(message, header(scope, VERSION_HEADER)):
            said = "the mcp-protocol-version header does not say the version that params._meta says"
            await _refuse(send, HEADER_MISMATCH, said, message.get("id"))
            return
        parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return parts.pop() if parts else await receive()

        await self._app(scope, again, send)


def _claims_other_version(message: Any, head: str | None) -> bool:
    """Whether a body that names its version stands under a head that is of the handshake versions, or names none.

    The SDK compares the two only once the head has led it to the newer protocol.
    """
    if head is not None and head not in HANDSHAKE_PROTOCOL_VERSIONS:
        return False
    match message:
        case {"method": "initialize"}:
            return False
        case {"params": {"_meta": {**meta}}}:
            return PROTOCOL_VERSION_META_KEY in meta
    return False


async def _refuse(send: Send, code: int, message: str, request_id: Any) -> None:
    error = {"code": code, "message": message}
    await respond(send, 400, json.dumps({"jsonrpc": "2.0", "id": request_id, "error": error}).encode())
