"""Several ASGI apps as one: writes go to ingest's, MCP to its own, everything else to query's; the OpenAPI documents of
the two halves of the API are merged."""

import asyncio
from typing import Any

import orjson

from turnlog_runtime.asgi import App, Edge, Message, Receive, Scope, Send, respond, respond_problem
from turnlog_runtime.principal import Gate, open_gate
from turnlog_runtime.problems import Problem
from turnlog_runtime.routes import Paths

WRITES = ("POST", "DELETE")
OPENAPI = "/openapi.json"
MCP = ("/mcp", "/mcp/")
SESSIONS = "/v1/sessions/"
MCP_WAIT_S = 10.0
NOT_YET = Problem(503, "starting", "MCP is still starting; nothing was done", retry_after_s=1)


def is_write(method: str, path: str) -> bool:
    """Whether ingest answers this request."""
    if method not in WRITES:
        return False
    if path.startswith("/v1/sessions/"):
        return path.endswith(("/turns", "/compress")) and path.count("/") == 4
    return path in ("/v1/turns", "/tools/store_memory")


class OneApi:
    """The write and the read API on one port."""

    def __init__(self, writes: App, reads: App, gate: Gate = open_gate) -> None:
        """`gate` is that of both: what neither of them has is refused behind it too."""
        self._writes, self._reads = writes, reads
        self._refusing = Edge(gate(self._refuse), lambda error: None)
        self._described: tuple[bytes, Paths] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            path = _encoded_path(scope)
            if is_write(scope["method"], path):
                await self._writes(scope, receive, send)
                return
            if not (scope["method"] == "GET" and path.startswith(SESSIONS) and not path.endswith("/compress")):
                document, paths = self._described or await self._describe()
                methods = paths.methods(path)
                if methods and scope["method"] not in methods:
                    await self._refusing(scope, receive, send)
                    return
                if path == OPENAPI and document:
                    await respond(send, 200, document)
                    return
        await self._reads(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._described is not None
        raise self._described[1].refusal(_encoded_path(scope))

    async def _describe(self) -> tuple[bytes, Paths]:
        """The document of the whole, and which methods each of its paths takes; nothing where a gate keeps them."""
        documents = await asyncio.gather(document_of(self._writes), document_of(self._reads))
        if not all("paths" in document for document in documents):
            return b"", Paths({})
        document = merged(*documents)
        self._described = orjson.dumps(document), Paths(document["paths"] | {OPENAPI: {"get": {}}})
        return self._described


class WithMcp:
    """The API, and MCP on the same port, which may come a little later: requests to it wait until it is there, and are
    told to come again when that takes long."""

    def __init__(self, api: App, wait_s: float = MCP_WAIT_S) -> None:
        self._api, self._wait_s = api, wait_s
        self._mcp: App = _nowhere
        self._there = asyncio.Event()

    def add(self, mcp: App) -> None:
        """Serve MCP from now on."""
        self._mcp = mcp
        self._there.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] in MCP:
            try:
                await asyncio.wait_for(self._there.wait(), self._wait_s)
            except TimeoutError:
                await respond_problem(send, NOT_YET)
                return
            await self._mcp(scope, receive, send)
        else:
            await self._api(scope, receive, send)


def _encoded_path(scope: Scope) -> str:
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return path.decode("latin-1")


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("MCP is not there yet")


def merged(writes: dict[str, Any], reads: dict[str, Any]) -> dict[str, Any]:
    """One document with the paths and components of both; what both define, `reads` says."""
    info = reads["info"] | {"title": "Turnlog"}
    paths = {
        path: writes["paths"].get(path, {}) | reads["paths"].get(path, {})
        for path in sorted(writes["paths"] | reads["paths"])
    }
    components = {
        kind: writes.get("components", {}).get(kind, {}) | reads.get("components", {}).get(kind, {})
        for kind in sorted(writes.get("components", {}) | reads.get("components", {}))
    }
    return {"openapi": reads["openapi"], "info": info, "paths": paths, "components": components}


async def document_of(app: App) -> dict[str, Any]:
    """The app's own OpenAPI document, asked for as any client would."""
    parts: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        parts.append(message.get("body", b""))

    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": OPENAPI,
        "raw_path": OPENAPI.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "client": None,
        "server": None,
    }
    await app(scope, receive, send)
    document: dict[str, Any] = orjson.loads(b"".join(parts))
    return document
