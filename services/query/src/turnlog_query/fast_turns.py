"""The short cut for `GET /v1/sessions/{id}/turns?limit=N`, the call that agents make before every answer.

Same service function, same answer as the documented route; what is saved is FastAPI's routing and its
building of request and response objects, which cost several times the read itself. Anything but a plain hit
(other parameters, an id or limit that is wrong) goes to the documented route, which says what is wrong.
"""

from turnlog_events.ids import AGENT_SESSION_PREFIX, is_id
from turnlog_query.deps import QueryDeps
from turnlog_query.etag import matches
from turnlog_query.params import LIMIT_DEFAULT, LIMIT_MAX
from turnlog_query.turns import newest_turns
from turnlog_runtime.asgi import App, Receive, Scope, Send
from turnlog_runtime.principal import tenant_of

_PREFIX, _SUFFIX = "/v1/sessions/", "/turns"
_START, _END = len(_PREFIX), -len(_SUFFIX)
_JSON = (b"content-type", b"application/json")
_REVALIDATE = (b"cache-control", b"private, no-cache")


def plain_limit(query: bytes) -> int:
    """The limit when the query string is empty or names a good limit alone; else 0."""
    if not query:
        return LIMIT_DEFAULT
    digits = query[6:]
    if query[:6] != b"limit=" or not digits.isdigit() or len(digits) > len(str(LIMIT_MAX)):
        return 0
    limit = int(digits)
    return limit if limit <= LIMIT_MAX else 0


class FastTurns:
    """Answers the hot call and passes every other on."""

    def __init__(self, deps: QueryDeps, app: App) -> None:
        self._deps = deps
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "GET":
            path: str = scope["path"]
            if path.endswith(_SUFFIX) and path.startswith(_PREFIX):
                session_id = path[_START:_END]
                limit = plain_limit(scope["query_string"])
                if limit and is_id(session_id.removeprefix(AGENT_SESSION_PREFIX)):
                    await self._answer(session_id, limit, scope, send)
                    return
        await self._app(scope, receive, send)

    async def _answer(self, session_id: str, limit: int, scope: Scope, send: Send) -> None:
        answer = await newest_turns(self._deps, tenant_of(scope), session_id, limit)
        tag = answer.etag.encode()
        status, body = 200, answer.body
        for name, value in scope["headers"]:
            if name == b"if-none-match" and matches(value.decode("latin-1"), answer.etag):
                status, body = 304, b""
        headers = [(b"etag", tag), _REVALIDATE]
        if status == 200:
            headers += [_JSON, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
