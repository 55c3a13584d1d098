"""Authentication and authorisation as clients meet them: the whole API behind its gate, over HTTP, on real servers."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest

from admitting import (
    AGENT,
    ALL,
    AUDIENCE,
    ISSUER,
    Issuer,
    SigningKey,
    api,
    bearer,
    claims,
    new_key,
    revoke,
    rsa_key,
    token,
    unsigned,
)  # fmt: skip
from conftest import RealServers
from making import new_log
from querying import problem_in
from turnlog_access.key_format import MintedKey, mint
from turnlog_runtime.principal import AUDIT, READ, WRITE

TURN = {"role": "user", "content": "a secret of acme"}


@dataclass(frozen=True)
class Scene:
    """The API, two tenants with keys of every kind, and an issuer of tokens."""

    http: httpx.AsyncClient
    log: str
    issuer: Issuer
    owner_dsn: str
    acme: str
    other: str
    agent: MintedKey
    reader: MintedKey
    auditor: MintedKey
    operator: MintedKey
    stranger: MintedKey

    async def write(self, key: MintedKey | str, session: str, **more: Any) -> httpx.Response:
        return await self.http.post(f"/v1/sessions/{session}/turns", json=TURN | more, headers=bearer(key))


@pytest.fixture(scope="module")
async def scene(servers: RealServers) -> AsyncIterator[Scene]:
    log = await new_log(servers.owner_dsn)
    acme, other = (f"{name}-{uuid.uuid4().hex[:10]}" for name in ("acme", "other"))
    keys = [
        await new_key(servers.owner_dsn, tenant, scopes)
        for tenant, scopes in ((acme, AGENT), (acme, (READ,)), (acme, (AUDIT,)), (acme, ALL), (other, AGENT))
    ]
    async with Issuer([rsa_key()]).serving() as issuer, api(servers, log, **issuer.settings()) as http:
        yield Scene(http, log, issuer, servers.owner_dsn, acme, other, *keys)


def fresh() -> str:
    return f"s-{uuid.uuid4().hex[:12]}"


def refused(response: httpx.Response, code: str) -> None:
    assert problem_in(response, 401)[0] == code
    challenge = response.headers["www-authenticate"]
    assert challenge.startswith('Bearer realm="turnlog"')
    assert "/.well-known/oauth-protected-resource" in challenge
    assert response.headers["cache-control"] == "no-store"


async def test_a_key_reads_and_writes_its_tenants_memory(scene: Scene) -> None:
    session = fresh()
    assert (await scene.write(scene.agent, session)).status_code == 201
    read = await scene.http.get(f"/v1/sessions/{session}/turns", headers=bearer(scene.agent))
    assert [turn["content"] for turn in read.json()["turns"]] == ["a secret of acme"]


def pem_signed() -> str:
    import hashlib
    import hmac

    import jwt

    head = unsigned(claims(), alg="HS256", kid="rsa-1").rpartition(".")[0]
    signature = hmac.new(rsa_key().public_pem(), head.encode(), hashlib.sha256).digest()
    return f"{head}.{jwt.utils.base64url_encode(signature).decode()}"


HEADERS: dict[str, tuple[dict[str, str], str]] = {
    "none": ({}, "credential_missing"),
    "another header": ({"x-api-key": mint().credential}, "credential_missing"),
    "empty": ({"authorization": ""}, "credential_malformed"),
    "no scheme": ({"authorization": mint().credential}, "credential_malformed"),
    "basic": ({"authorization": "Basic dXNlcjpwYXNz"}, "credential_malformed"),
    "no key after bearer": ({"authorization": "Bearer"}, "credential_malformed"),
    "an unknown key": (bearer(mint()), "credential_refused"),
    "half a key": (bearer("tl_aaaaaaaaaaaa"), "credential_refused"),
    "no key at all": (bearer("let-me-in"), "credential_refused"),
    "alg none": (bearer(unsigned(claims(), kid="rsa-1")), "credential_refused"),
    "HS256 with the public key": (bearer(pem_signed()), "credential_refused"),
    "wrong audience": (bearer(token(rsa_key(), claims(aud="https://other.test"))), "credential_refused"),
    "for another resource": (bearer(token(rsa_key(), claims(aud=f"{AUDIENCE}/mcp"))), "credential_refused"),
    "wrong issuer": (bearer(token(rsa_key(), claims(iss=f"{ISSUER}.evil"))), "credential_refused"),
    "expired": (bearer(token(rsa_key(), claims(exp=1_000_000_000))), "credential_refused"),
    "not valid yet": (bearer(token(rsa_key(), claims(nbf=4_000_000_000))), "credential_refused"),
    "an ID token": (bearer(token(rsa_key(), claims(), typ="JWT")), "credential_refused"),
    "an ID token that says at+jwt": (bearer(token(rsa_key(), claims(nonce="n"))), "credential_refused"),
    "hostile kid": (bearer(token(rsa_key(), claims(), kid="http://evil.test/k")), "credential_refused"),
    "hostile jku": (bearer(token(rsa_key(), claims(), jku="http://127.0.0.1:9/k")), "credential_refused"),
    "another signer": (
        bearer(token(SigningKey("rsa-1", rsa_key("x").private, "RS256"), claims())),
        "credential_refused",
    ),
}


@pytest.mark.parametrize(
    "call", [("GET", "/v1/sessions/s/turns"), ("POST", "/v1/sessions/s/turns"), ("GET", "/nothing")]
)
@pytest.mark.parametrize("name", HEADERS)
async def test_a_bad_credential_is_401_on_every_route(scene: Scene, name: str, call: tuple[str, str]) -> None:
    headers, code = HEADERS[name]
    refused(await scene.http.request(*call, headers=headers), code)
    assert set(scene.issuer.asked) <= {"/keys"}


async def test_two_authorization_headers_are_none(scene: Scene) -> None:
    shown = [("authorization", f"Bearer {scene.agent.credential}")] * 2
    refused(await scene.http.get("/v1/sessions", headers=shown), "credential_malformed")


async def test_the_right_id_with_a_wrong_secret_is_refused_as_an_unknown_id_is(scene: Scene) -> None:
    wrong = scene.agent.credential[:-1] + ("a" if scene.agent.credential[-1] != "a" else "b")
    answers = [await scene.http.get("/v1/sessions", headers=bearer(key)) for key in (wrong, mint().credential)]
    for answer in answers:
        refused(answer, "credential_refused")
    assert answers[0].content == answers[1].content
    assert (await scene.http.get("/v1/sessions", headers=bearer(scene.agent))).status_code == 200


@pytest.mark.parametrize("name", ["api_key", "access_token", "token", "key", "anything"])
async def test_a_key_in_the_url_is_401_even_beside_a_good_header_and_is_never_logged(
    scene: Scene, name: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    key = scene.agent
    for headers in ({}, bearer(key)):
        answer = await scene.http.get("/v1/sessions", params={name: key.credential}, headers=headers)
        refused(answer, "credential_malformed")
        assert key.credential not in answer.text
    out, err = capsys.readouterr()
    assert key.credential not in out + err + caplog.text


async def test_a_revoked_key_and_an_expired_one_are_401(scene: Scene) -> None:
    ended = await new_key(scene.owner_dsn, scene.acme)
    assert (await scene.http.get("/v1/sessions", headers=bearer(ended))).status_code == 200
    await revoke(scene.owner_dsn, ended)
    expired = await new_key(scene.owner_dsn, scene.acme, expires_in=timedelta(seconds=-1))
    refused(await scene.http.get("/v1/sessions", headers=bearer(expired)), "credential_refused")


@pytest.mark.parametrize(
    ("who", "method", "path", "needed"),
    [
        ("reader", "POST", "/v1/sessions/s/turns", WRITE),
        ("reader", "POST", "/v1/turns", WRITE),
        ("reader", "DELETE", "/v1/sessions/s/turns?from_version=1&to_version=1", WRITE),
        ("reader", "POST", "/v1/sessions/s/compress", WRITE),
        ("reader", "POST", "/tools/store_memory", WRITE),
        ("auditor", "GET", "/v1/sessions/s/turns", READ),
        ("auditor", "POST", "/tools/get_recent_turns", READ),
        ("agent", "GET", "/v1/logs/main", AUDIT),
        ("agent", "GET", "/v1/logs/main/events", AUDIT),
    ],
)
async def test_a_key_without_the_scope_is_403(scene: Scene, who: str, method: str, path: str, needed: str) -> None:
    answer = await scene.http.request(method, path, headers=bearer(getattr(scene, who)))
    assert problem_in(answer, 403)[0] == "scope_missing"
    assert f'error="insufficient_scope", scope="{needed}"' in answer.headers["www-authenticate"]


async def test_a_tokens_scopes_count_as_a_keys_do(scene: Scene) -> None:
    session = fresh()
    assert (await scene.write(token(rsa_key(), claims(scene.acme)), session)).status_code == 201
    only_read = token(rsa_key(), claims(scene.acme, scope=READ))
    assert (await scene.http.get(f"/v1/sessions/{session}", headers=bearer(only_read))).status_code == 200
    assert problem_in(await scene.write(only_read, session), 403)[0] == "scope_missing"
    stranger = token(rsa_key(), claims(scene.other))
    assert (await scene.http.get(f"/v1/sessions/{session}", headers=bearer(stranger))).status_code == 404


READS = [
    ("GET", "/v1/sessions/{}/turns", None),
    ("GET", "/v1/sessions/{}/turns?limit=5&after_version=0", None),
    ("GET", "/v1/sessions/{}/turns?before_version=2", None),
    ("GET", "/v1/sessions/{}/turns?min_version=1&wait_ms=0", None),
    ("GET", "/v1/sessions/{}", None),
    ("GET", "/v1/sessions/{}/summary", None),
    ("GET", "/v1/sessions/{}/context?format=text", None),
    ("GET", "/v1/sessions/{}/events", None),
    ("DELETE", "/v1/sessions/{}/turns?from_version=1&to_version=1", None),
    ("POST", "/v1/sessions/{}/compress", None),
    ("POST", "/tools/get_recent_turns", {"agent_id": "nobody", "session_id": "{}"}),
    ("POST", "/tools/get_compressed_memory", {"agent_id": "nobody", "session_id": "{}"}),
]


@pytest.mark.parametrize(("method", "path", "body"), READS)
async def test_another_tenants_session_is_404_byte_for_byte_as_one_that_is_not_there(
    scene: Scene, method: str, path: str, body: dict[str, str] | None
) -> None:
    session = fresh()

    async def asked() -> tuple[int, bytes, dict[str, str]]:
        filled = {k: v.format(session) for k, v in body.items()} if body is not None else None
        answer = await scene.http.request(method, path.format(session), json=filled, headers=bearer(scene.stranger))
        return answer.status_code, answer.content, {k: v for k, v in answer.headers.items() if k != "request-id"}

    absent = await asked()
    assert (await scene.write(scene.agent, session)).status_code == 201
    assert await asked() == absent
    assert absent[0] == 404


async def test_another_tenants_task_log_and_cursor_are_nothing_to_be_had(scene: Scene) -> None:
    sessions = [fresh() for _ in range(3)]
    for session in sessions:
        await scene.write(scene.agent, session)
        await scene.write(scene.stranger, session)
    asked = await scene.http.post(f"/v1/sessions/{sessions[0]}/compress", headers=bearer(scene.agent))
    task = await scene.http.get(f"/v1/tasks/{asked.json()['task_id']}", headers=bearer(scene.stranger))
    assert problem_in(task, 404)[0] == "task_not_found"
    page = (await scene.http.get("/v1/sessions?limit=1", headers=bearer(scene.agent))).json()
    foreign = await scene.http.get(f"/v1/sessions?cursor={page['next_cursor']}", headers=bearer(scene.stranger))
    assert problem_in(foreign, 400)[1] == "cursor"
    other_log = await scene.http.get("/v1/logs/main/events", headers=bearer(scene.auditor))
    no_log = await scene.http.get("/v1/logs/none/events", headers=bearer(scene.auditor))
    assert (other_log.status_code, no_log.status_code) == (404, 404)
    assert other_log.content == no_log.content.replace(b"none", b"main")


async def test_a_tenant_in_body_or_header_is_no_tenant(scene: Scene) -> None:
    session = fresh()
    assert (await scene.write(scene.stranger, session, tenant=scene.acme)).status_code == 422
    named = bearer(scene.stranger) | {"x-tenant": scene.acme, "x-forwarded-for": "10.0.0.1"}
    assert (await scene.http.post(f"/v1/sessions/{session}/turns", json=TURN, headers=named)).status_code == 201
    assert (await scene.http.get(f"/v1/sessions/{session}", headers=bearer(scene.agent))).status_code == 404
    assert (await scene.http.get(f"/v1/sessions?tenant={scene.acme}", headers=named)).status_code == 422


async def test_another_tenants_idempotency_key_is_another_key(scene: Scene) -> None:
    session, key = fresh(), {"idempotency-key": fresh()}
    for who in (scene.agent, scene.stranger):
        answer = await scene.http.post(f"/v1/sessions/{session}/turns", json=TURN, headers=bearer(who) | key)
        assert (answer.status_code, answer.json()["duplicate"], answer.json()["version"]) == (201, False, 1)


async def test_an_auditor_sees_its_tenants_history_and_the_operator_everybodys(scene: Scene) -> None:
    session = fresh()
    for who in (scene.agent, scene.stranger):
        await scene.write(who, session)

    async def seen(who: MintedKey, log: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            answer = await scene.http.get(f"/v1/logs/{log}/events?limit=1000&after={after}", headers=bearer(who))
            assert answer.status_code == 200, answer.text
            events, after = events + answer.json()["events"], answer.json()["next_after"]
        return events

    own, everybodys = await seen(scene.auditor, scene.log), await seen(scene.operator, scene.log)
    assert {event["tenant"] for event in own} == {scene.acme}
    assert {event["tenant"] for event in everybodys} == {scene.acme, scene.other}
    assert [event["position"] for event in everybodys] == list(range(1, len(everybodys) + 1))
    assert [event for event in everybodys if event["tenant"] == scene.acme] == own
    for path, status in (("main", 200), ("main/events?limit=1", 200), ("none", 404)):
        assert (await scene.http.get(f"/v1/logs/{path}", headers=bearer(scene.operator))).status_code == status


async def test_what_is_open_needs_no_credential(scene: Scene) -> None:
    for path in ("/livez", "/readyz", "/metrics", "/openapi.json"):
        assert (await scene.http.get(path)).status_code == 200, path
    for suffix in ("", "/mcp"):
        told = await scene.http.get(f"/.well-known/oauth-protected-resource{suffix}")
        assert told.json()["resource"] == str(scene.http.base_url) + suffix
        assert told.json()["authorization_servers"] == [ISSUER]
        assert told.json()["bearer_methods_supported"] == ["header"]
    assert (await scene.http.get("/.well-known/oauth-protected-resource/other")).status_code == 404
    assert (await scene.http.post("/.well-known/oauth-protected-resource")).status_code == 405


async def test_the_openapi_document_says_that_every_call_shows_a_credential(scene: Scene) -> None:
    document = (await scene.http.get("/openapi.json")).json()
    assert document["components"]["securitySchemes"]["credential"]["scheme"] == "bearer"
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    assert len(operations) == 16
    for operation in operations:
        assert operation["security"] == [{"credential": []}]
        assert {"401", "403"} <= operation["responses"].keys()


async def test_a_method_that_a_route_has_not_is_405_and_reveals_nothing_without_a_credential(scene: Scene) -> None:
    for method in ("OPTIONS", "PUT", "PATCH", "HEAD"):
        refused_or_empty = await scene.http.request(method, "/v1/sessions")
        assert refused_or_empty.status_code == 401
    answer = await scene.http.options("/v1/sessions/s/turns", headers=bearer(scene.agent))
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, POST")
