"""The door: which routes need what, what is seen of a credential, and settings that do not go together."""

from typing import Any

import pytest
from starlette.routing import Route

from turnlog_access.gate import AccessGate
from turnlog_access.key_format import mint
from turnlog_access.resource import Resource
from turnlog_access.route_scopes import ROUTES, scope_of
from turnlog_access.shown import CREDENTIAL_MAX_BYTES, Malformed, Missing, check_url, credential_in
from turnlog_ingest.app import documented
from turnlog_limits.gate import Limits
from turnlog_limits.leases import Leases
from turnlog_limits.limit import limits_of
from turnlog_query import Hubs, QueryDeps
from turnlog_query.routes_audit import audit_routes
from turnlog_query.routes_sessions import session_routes
from turnlog_query.routes_tools import tool_routes
from turnlog_runtime.asgi import Receive, Scope, Send
from turnlog_runtime.charges import charge_of, free
from turnlog_runtime.door_settings import DoorSettings, SettingsError, check_door
from turnlog_runtime.principal import ANYBODY, AUDIT, READ, WRITE, in_order, principal_of
from turnlog_runtime.problems import Problem
from turnlog_runtime.settings import IngestSettings, load
from turnlog_runtime.tenants import unchecked_gate

NOTHING: Any = None


def served() -> set[tuple[str, str]]:
    """Every route of both services, its parameters as `{}`."""
    deps = QueryDeps(NOTHING, None, Hubs(NOTHING))
    routers = [session_routes(deps), audit_routes(deps), tool_routes(deps), documented(NOTHING, 1, 1)]
    found = set()
    for route in (r for router in routers for r in router.routes if isinstance(r, Route) and r.path != "/openapi.json"):
        path = "/".join("{}" if part.startswith("{") else part for part in route.path.split("/"))
        found |= {(method, path) for method in (route.methods or ()) if method != "HEAD"}
    return found


def test_the_table_names_the_routes_there_are_and_no_others() -> None:
    assert served() | {("POST", "/mcp"), ("POST", "/mcp/")} == set(ROUTES)


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/v1/sessions/s/turns", WRITE),
        ("GET", "/v1/sessions/s/turns", READ),
        ("HEAD", "/v1/sessions/s/turns", READ),
        ("DELETE", "/v1/sessions/s/turns", WRITE),
        ("GET", "/v1/sessions/turns", READ),
        ("GET", "/v1/logs/main/events", AUDIT),
        ("POST", "/tools/store_memory", WRITE),
    ],
)
def test_each_call_needs_the_scope_of_its_route(method: str, path: str, scope: str) -> None:
    assert scope_of(method, path) == scope


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/sessions/s/turns/", 404),
        ("GET", "//v1/sessions", 404),
        ("GET", "/v1/secrets", 404),
        ("GET", "/", 404),
        ("PUT", "/v1/sessions/s/turns", 405),
        ("OPTIONS", "/v1/sessions", 405),
        ("POST", "/v1/logs/main/events", 405),
    ],
)
def test_what_is_no_route_is_none_for_anybody(method: str, path: str, status: int) -> None:
    with pytest.raises(Problem) as caught:
        scope_of(method, path)
    assert caught.value.status == status
    assert status != 405 or caught.value.headers["allow"]


def request(
    path: bytes = b"/v1/sessions", query: bytes = b"", headers: list[tuple[bytes, bytes]] | None = None
) -> dict[str, Any]:
    return {"path": path.decode(), "raw_path": path, "query_string": query, "headers": headers or []}


@pytest.mark.parametrize(
    "query",
    [b"api_key=x", b"limit=3&access_token=", b"KEY=1", b"tok%65n=x", b"a=1&&jwt", b"note=" + mint().credential.encode(),
     b"x=tl%5F" + mint().credential[3:].encode()],
)  # fmt: skip
def test_a_credential_in_the_url_is_not_taken_and_not_repeated(query: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        check_url(request(query=query))
    assert "tl_" not in str(caught.value)


def test_a_key_as_a_session_is_a_credential_in_the_url_too_and_a_hidden_slash_is_refused() -> None:
    with pytest.raises(Malformed):
        check_url(request(b"/v1/sessions/" + mint().credential.encode() + b"/turns"))
    with pytest.raises(Problem) as caught:
        check_url(request(b"/v1/sessions/x%2Fturns"))
    assert caught.value.status == 422
    check_url(request(b"/v1/sessions/a%3Ab", b"limit=20&cursor=tl_AAAA&before_version=3"))
    check_url(request(b"/v1/sessions/s/turns", b"from_version=1&reason=a%26key=b%26"))


@pytest.mark.parametrize(
    "value",
    [b"", b"Bearer", b"Bearer ", b"Basic dXNlcjpwYXNz", b"tl_x_y", b"Bearer \xff", b"Token x",
     b"Bearer " + b"x" * (CREDENTIAL_MAX_BYTES + 1)],
)  # fmt: skip
def test_a_malformed_header_is_said_to_be(value: bytes) -> None:
    with pytest.raises(Malformed):
        credential_in(request(headers=[(b"authorization", value)]))


def test_one_header_is_taken_two_are_not_and_none_is_missing() -> None:
    assert credential_in(request(headers=[(b"host", b"x"), (b"authorization", b"bearer  abc ")])) == b"abc"
    with pytest.raises(Malformed):
        credential_in(request(headers=[(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")]))
    with pytest.raises(Missing):
        credential_in(request(headers=[(b"x-api-key", b"a")]))


@pytest.mark.parametrize(
    ("host", "base"),
    [(b"api.test:8080", "http://api.test:8080"), (b"[::1]:80", "http://[::1]:80"), (b'x" evil', "http://localhost")],
)
def test_what_we_say_of_our_address_is_what_the_client_said_if_it_is_one(host: bytes, base: str) -> None:
    scope = request(headers=[(b"host", host)]) | {"scheme": "http"}
    assert Resource().base(scope) == base
    assert Resource("https://public.test/").base(scope) == "https://public.test"
    assert f'resource_metadata="{base}/.well-known/oauth-protected-resource"' in Resource().challenge(scope)


TOKENS = {"jwt_issuer": "i", "jwt_audience": "a", "jwt_jwks_url": "https://i.test/keys"}


@pytest.mark.parametrize(
    "good",
    [
        {},
        {"host": "0.0.0.0"},
        {"auth": "off"},
        {"auth": "off", "host": "::1"},
        {"auth": "off", "host": "0.0.0.0", "tenant_header": "x-tenant"},
        TOKENS,
        {**TOKENS, "jwt_jwks_url": "http://127.0.0.1:1/keys"},
    ],
)
def test_settings_that_go_together(good: dict[str, str]) -> None:
    check_door(DoorSettings(**{"auth": "required", **good}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"auth": "off", "host": "0.0.0.0"}, "TURNLOG_HOST=0.0.0.0 is refused"),
        ({"auth": "off", "host": ""}, "TURNLOG_HOST= is refused"),
        ({"auth": "off", "host": "example.org"}, "TURNLOG_AUTH=required"),
        ({"tenant_header": "x-tenant"}, "exclude each other"),
        ({**TOKENS, "jwt_audience": " ,"}, "TURNLOG_JWT_AUDIENCE names no audience"),
        ({**TOKENS, "jwt_audience": ""}, "TURNLOG_JWT_AUDIENCE is not set"),
        ({**TOKENS, "jwt_jwks_url": "http://i.test/keys"}, "https://"),
        ({**TOKENS, "jwt_jwks_url": "file:///etc/keys"}, "https://"),
        ({**TOKENS, "jwt_algorithms": "RS256,HS256"}, "TURNLOG_JWT_ALGORITHMS"),
        ({**TOKENS, "jwt_algorithms": "none"}, "TURNLOG_JWT_ALGORITHMS"),
    ],
)
def test_settings_that_do_not_are_refused_by_name(bad: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        check_door(DoorSettings(**{"auth": "required", **bad}))  # type: ignore[arg-type]


def test_every_service_is_held_to_it_when_it_loads_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNLOG_HOST", "0.0.0.0")
    with pytest.raises(SettingsError, match="is refused"):
        load(IngestSettings)
    monkeypatch.delenv("TURNLOG_AUTH")
    assert load(IngestSettings).auth == "required"


async def test_what_needs_no_credential_is_charged_to_no_tenant() -> None:
    seen: list[tuple[str, bool]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((principal_of(scope).tenant, charge_of(scope) is free))

    limits = Limits(limits_of(IngestSettings(auth="required")), Leases(None))
    served = AccessGate(limits.gate(app), NOTHING, Resource())
    await served({"type": "http", "path": "/openapi.json"}, NOTHING, NOTHING)
    await limits.gate(app)({"type": "http"}, NOTHING, NOTHING)
    assert seen == [("", True), (ANYBODY.tenant, False)]


def test_a_service_that_needs_credentials_is_never_open_for_want_of_a_gate() -> None:
    with pytest.raises(ValueError, match="gate"):
        unchecked_gate(DoorSettings(auth="required"))


def test_gates_in_order_are_met_from_the_first_to_the_last() -> None:
    gate = in_order(lambda app: ("first", app), lambda app: ("second", app))
    assert gate("app") == ("first", ("second", "app"))
