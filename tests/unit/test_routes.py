"""What a path takes, which parameters are refused, and a document that is completed once."""

import copy
from typing import Any

import pytest

from turnlog_cli.compose import OneApi
from turnlog_runtime.asgi import Receive, Scope, Send, respond, respond_problem
from turnlog_runtime.described import completed
from turnlog_runtime.problems import Problem
from turnlog_runtime.routes import Paths, check_known, unambiguous

PATHS = Paths({"/v1/s/{id}": {"get": {}}, "/v1/s/{id}/turns": {"get": {}, "post": {}}, "/a.json": {"get": {}}})


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/s/x", {"GET"}),
        ("/v1/s/x%2Fy/turns", {"GET", "POST"}),
        ("/v1/s/x/y", set()),
        ("/v1/s/", set()),
        ("/a.json", {"GET"}),
        ("/axjson", set()),
    ],
)
def test_methods_of_a_path(path: str, methods: set[str]) -> None:
    assert PATHS.methods(path) == methods
    refusal = PATHS.refusal(path)
    assert refusal.status == (405 if methods else 404)
    assert refusal.headers.get("allow", "") == ", ".join(sorted(methods))


def test_unknown_parameters_are_named() -> None:
    check_known(b"a=1&b=&a=2", {"a", "b"})
    with pytest.raises(Problem, match=r"^c: "):
        check_known(b"a=1&c", {"a"})


@pytest.mark.parametrize(
    ("path", "query", "param"),
    [(b"/a%2fb", b"", "session_id"), (b"/a", b"x=1&x=2", "x"), (b"/a", b"x=1&%78=2", "x"), (b"/a", b"x=1&y=1", None)],
)
async def test_what_frameworks_decide_silently_is_refused(path: bytes, query: bytes, param: str | None) -> None:
    served: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        served.append(scope)

    async def nothing(*_: Any) -> Any: ...

    scope = {"type": "http", "raw_path": path, "query_string": query}
    if param is None:
        await unambiguous(app)(scope, nothing, nothing)
    else:
        with pytest.raises(Problem) as refused:
            await unambiguous(app)(scope, nothing, nothing)
        assert (refused.value.status, refused.value.param) == (422, param)
    assert bool(served) == (param is None)


def test_completing_a_document_again_changes_nothing() -> None:
    nullable = {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "X"}
    operation = {"parameters": [{"name": "x", "schema": nullable}], "responses": {"200": {"description": "ok"}}}
    once = completed({"paths": {"/x": {"get": operation}}})
    assert completed(copy.deepcopy(once)) == once
    found = once["paths"]["/x"]["get"]
    assert found["parameters"][0]["schema"] == {"type": "string", "title": "X"}
    assert {"200", "400", "500"} <= found["responses"].keys()
    assert once["components"]["schemas"]["Problem"]


async def test_where_a_gate_keeps_the_document_requests_still_reach_the_reads() -> None:
    async def gated(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/v1/tasks/t":
            await respond(send, 200, b"{}")
        else:
            await respond_problem(send, Problem(401, "no_credential", "send one"))

    sent: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            sent.append(message["status"])

    async def receive() -> Any: ...

    api = OneApi(gated, gated)
    for path in ("/v1/tasks/t", "/openapi.json"):
        await api({"type": "http", "method": "GET", "path": path, "raw_path": path.encode()}, receive, send)
    assert sent == [200, 401]
