"""Who may speak to the MCP endpoint from where: the checks of a request's head, before any credential is looked at.

A page in a browser can reach a server on this machine by a name of its own that it lets point here (DNS rebinding).
So the Host must be a name that this server is known by, and an Origin, where there is one, an allowed one. The SDK has
such a check; ours stands before the credentials and says which setting admits a name.
"""

import re
from collections.abc import Iterable

from turnlog_mcp.api import CHALLENGE
from turnlog_runtime.asgi import App, Message, Receive, Scope, Send, respond_problem
from turnlog_runtime.problems import Problem

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
_ORIGIN = re.compile(r"(https?)://" + _HOST.pattern)


class Allowed:
    """The hosts and origins that are admitted: this machine's own names on any port, and those that are named."""

    def __init__(self, hosts: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        """`hosts` are names, with a port to admit only that; `origins` are as browsers send them."""
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    def host(self, value: str) -> bool:
        """Whether a Host header is admitted."""
        match = _HOST.fullmatch(value.lower())
        return match is not None and (match[1] in LOOPBACK or match[1] in self._hosts or match[0] in self._hosts)

    def origin(self, value: str) -> bool:
        """Whether an Origin header is admitted."""
        match = _ORIGIN.fullmatch(value.lower())
        return match is not None and (match[2] in LOOPBACK or match[0] in self._origins)


class Door:
    """Lets requests in from where they may come. Raises `Problem` 421 for a foreign host, 403 for a foreign origin.

    When the API refused the caller's credential, that is what the caller is told: 401 with the API's challenge.
    """

    def __init__(self, app: App, allowed: Allowed) -> None:
        self._app, self._allowed = app, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        # Space around a header's value is no part of it (RFC 9110), and the server leaves it there.
        scope["headers"] = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        self._check(scope)
        refused = False

        async def send_unless_refused(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and CHALLENGE in scope:
                refused = True
                await respond_problem(send, _refused(scope[CHALLENGE]))
            elif not refused:
                await send(message)

        await self._app(scope, receive, send_unless_refused)

    def _check(self, scope: Scope) -> None:
        given = _all(scope, b"host")
        if len(given) != 1 or not self._allowed.host(given[0]):
            message = "host: is not a name of this server; name it in TURNLOG_MCP_ALLOWED_HOSTS to admit it"
            raise Problem(421, "foreign_host", message, "host")
        if not all(map(self._allowed.origin, _all(scope, b"origin"))):
            message = "origin: is not allowed here; name it in TURNLOG_MCP_ALLOWED_ORIGINS to admit it"
            raise Problem(403, "foreign_origin", message, "origin")


def _all(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _refused(challenge: str) -> Problem:
    message = "the API does not accept this credential; send a valid API key or token as `Authorization: Bearer …`"
    return Problem(401, "unauthenticated", message, headers={"www-authenticate": challenge})
