"""Credentials over time: revoked on every replica within five seconds, known ones good while PostgreSQL or the issuer
is away, new ones good at once, and no flood of made-up ones reaches PostgreSQL."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import unquote

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from admitting import Issuer, api, bearer, claims, ec_key, new_key, revoke, rsa_key, token, unsigned
from conftest import RealServers
from faults.proxy import Proxy
from turnlog_access.door import opened
from turnlog_access.errors import Refused, Unknown
from turnlog_access.issuer_keys import IssuerKeys, IssuerSettings
from turnlog_access.key_format import mint
from turnlog_access.keyring import KeyringSettings
from turnlog_runtime.principal import READ, WRITE
from turnlog_runtime.settings import IngestSettings

PROMISED_S = 5.0
PATH = "/v1/sessions"


@pytest.fixture
def database_proxy(servers: RealServers) -> Iterator[tuple[Proxy, str]]:
    """A way to PostgreSQL that can be broken, and its address for the services' role."""
    if servers.embedded is None:
        pytest.skip("needs servers that the tests started themselves: their socket is known")
    sockets = Path(unquote(servers.dsn.partition("host=")[2].partition("&")[0]))
    proxy = Proxy.start(sockets / ".s.PGSQL.5432")
    yield proxy, f"postgresql://turnlog_app@127.0.0.1:{proxy.port}/turnlog?sslmode=disable"
    proxy.close()


async def status(http: httpx.AsyncClient, credential: object) -> int:
    return (await http.get(PATH, headers=bearer(credential))).status_code  # type: ignore[arg-type]


async def until_let_in(http: httpx.AsyncClient, credential: object) -> None:
    """Wait until the credential is taken; it must not be refused meanwhile, only be unknown."""
    async with asyncio.timeout(15):
        while (answered := await status(http, credential)) != 200:
            assert answered == 503
            await asyncio.sleep(0.05)


async def test_a_revoked_key_is_refused_on_every_replica_within_five_seconds(
    servers: RealServers, log_name: str, tenant: str
) -> None:
    key = await new_key(servers.owner_dsn, tenant)
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(api(servers, log_name)) for _ in range(2)]
        for http in replicas:
            assert await status(http, key) == 200
        await revoke(servers.owner_dsn, key)
        revoked_at = time.monotonic()

        async def until_refused(http: httpx.AsyncClient) -> float:
            while await status(http, key) == 200:
                await asyncio.sleep(0.02)  # a busy key: it is never left to be looked up anew
            return time.monotonic() - revoked_at

        took = await asyncio.gather(*map(until_refused, replicas))
        assert max(took) < PROMISED_S, took
        for http in replicas:
            assert await status(http, key) == 401


async def test_a_live_stream_ends_with_its_key_before_anything_more_is_sent(
    servers: RealServers, log_name: str, tenant: str
) -> None:
    watching, writing = [await new_key(servers.owner_dsn, tenant) for _ in range(2)]
    quick = KeyringSettings(trust_s=0.4, look_s=0.1, question_s=0.3)

    async def write(content: str) -> None:
        turn = {"role": "user", "content": content}
        assert (await http.post("/v1/sessions/s/turns", json=turn, headers=bearer(writing))).status_code == 201

    async with api(servers, log_name, keyring=quick) as http:
        for key in (watching, writing):
            await until_let_in(http, key)
        await write("before")
        async with http.stream("GET", "/v1/sessions/s/events", headers=bearer(watching)) as stream:
            parts = stream.aiter_text()
            seen = ""
            while "before" not in seen:
                seen += await anext(parts)
            await revoke(servers.owner_dsn, watching)
            async with asyncio.timeout(PROMISED_S):
                while await status(http, watching) == 200:
                    await asyncio.sleep(0.02)
            await write("after")
            async with asyncio.timeout(10):
                async for part in parts:
                    seen += part
        assert "after" not in seen


async def test_several_keys_of_a_tenant_live_at_once_so_that_one_can_take_the_others_place(
    servers: RealServers, log_name: str, tenant: str
) -> None:
    async with api(servers, log_name) as http:
        old, new = [await new_key(servers.owner_dsn, tenant) for _ in range(2)]
        assert [await status(http, key) for key in (old, new)] == [200, 200]


async def test_known_keys_go_on_while_postgresql_cannot_be_reached_and_unknown_ones_are_told_to_come_back(
    servers: RealServers, log_name: str, tenant: str, database_proxy: tuple[Proxy, str]
) -> None:
    proxy, dsn = database_proxy
    known, unknown = [await new_key(servers.owner_dsn, tenant) for _ in range(2)]
    quick = KeyringSettings(trust_s=0.7, look_s=0.1, question_s=0.3)
    async with api(servers, log_name, keyring=quick, dsn=dsn) as http:
        await until_let_in(http, known)
        for hang in (proxy.blackhole, proxy.refuse):
            hang()
            until = time.monotonic() + 1.0  # well beyond what is trusted without an answer
            while time.monotonic() < until:
                answer = await http.get("/v1/sessions/nobody/turns?limit=0", headers=bearer(known))
                assert answer.status_code == 422, answer.text  # let in, and refused by the route itself
            answer = await http.get(PATH, headers=bearer(unknown))
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["error"]["code"] == "credential_unchecked"
            proxy.pass_on()
            await until_let_in(http, unknown)
            unknown = await new_key(servers.owner_dsn, tenant)


async def test_a_flood_of_made_up_keys_is_few_questions_and_stops_nobody(
    servers: RealServers, log_name: str, tenant: str
) -> None:
    key = await new_key(servers.owner_dsn, tenant)
    async with api(servers, log_name) as http:
        assert await status(http, key) == 200
        before = await questions(servers.owner_dsn)
        flood = [status(http, mint()) for _ in range(200)]
        answers, known = await asyncio.gather(asyncio.gather(*flood), status(http, key))
        assert (set(answers), known) == ({401}, 200)
        assert await questions(servers.owner_dsn) - before < 100


async def questions(owner_dsn: str) -> int:
    """How often the table of keys was looked into by its index or whole."""
    owner = await asyncpg.connect(owner_dsn)
    try:
        await owner.execute("select pg_stat_force_next_flush()")
        row = await owner.fetchrow(
            "select coalesce(seq_scan, 0) + coalesce(idx_scan, 0) from pg_stat_user_tables where relname = 'api_keys'"
        )
        return int(row[0]) if row is not None else 0
    finally:
        await owner.close()


async def test_when_a_key_was_last_used_is_noted_without_the_request_waiting(
    servers: RealServers, log_name: str, tenant: str
) -> None:
    key, idle = [await new_key(servers.owner_dsn, tenant) for _ in range(2)]
    async with api(servers, log_name, keyring=KeyringSettings(note_s=0.1)) as http:
        assert await status(http, key) == 200
        owner = await asyncpg.connect(servers.owner_dsn)
        noted = "select id from turnlog.api_keys where tenant = $1 and last_used_at > now() - interval '1 minute'"
        async with asyncio.timeout(10):
            while not (found := await owner.fetch(noted, tenant)):
                await asyncio.sleep(0.05)
        await owner.close()
    assert [row[0] for row in found] == [key.key_id]
    assert idle.key_id not in {row[0] for row in found}


async def test_whoever_speaks_another_protocol_asks_the_same_door(servers: RealServers, tenant: str) -> None:
    key = await new_key(servers.owner_dsn, tenant)
    async with opened(IngestSettings(database_url=SecretStr(servers.dsn), auth="required")) as access:
        for _ in range(2):  # looked up, then known
            found = await access.principal(key.credential)
            assert (found.tenant, found.credential, found.scopes) == (tenant, key.key_id, {READ, WRITE})
        for wrong in (mint().credential, "", "tl_", "ключ", "x" * 9000, unsigned(claims())):
            with pytest.raises(Refused):
                await access.principal(wrong)


async def test_tokens_go_on_while_the_issuer_is_away(servers: RealServers, log_name: str) -> None:
    async with Issuer([rsa_key()]).serving() as issuer, AsyncExitStack() as stack:
        http = await stack.enter_async_context(api(servers, log_name, **issuer.settings()))
        assert await status(http, token(rsa_key(), claims())) == 200
        issuer.answers = False
        for subject in ("the same", "another"):
            assert await status(http, token(rsa_key(), claims(sub=subject))) == 200
        assert await status(http, token(ec_key(), claims())) == 401


async def test_before_the_issuer_has_answered_once_nobody_can_say_and_then_its_keys_are_found() -> None:
    async with Issuer([rsa_key()], answers=False).serving() as issuer:
        keys = IssuerKeys(IssuerSettings(issuer.url, frozenset({"RS256"}), floor_s=0.05, wait_s=0.05))
        running = asyncio.create_task(keys.run())
        with pytest.raises(Unknown):
            await keys.find("rsa-1")
        issuer.answers = True
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(Unknown):
                    assert (await keys.find("rsa-1")).algorithm_name == "RS256"
                    break
                await asyncio.sleep(0.01)
        running.cancel()


async def test_an_unknown_key_is_asked_for_once_in_a_while_and_from_nobody_but_the_issuer() -> None:
    now = [0.0]
    async with Issuer([rsa_key()]).serving() as issuer:
        keys = IssuerKeys(IssuerSettings(issuer.url, frozenset({"RS256", "ES256"})), lambda: now[0])
        running = asyncio.create_task(keys.run())
        assert (await keys.find("rsa-1")).algorithm_name == "RS256"
        asked = len(issuer.asked)
        for kid in ("ec-1", "../../etc/passwd", "http://evil.test/keys", "x"):
            with pytest.raises(Refused):
                await keys.find(kid)
        assert len(issuer.asked) == asked
        issuer.keys.append(ec_key())
        now[0] += 11
        generation = keys.generation
        assert (await keys.find("ec-1")).algorithm_name == "ES256"
        assert (len(issuer.asked), keys.generation) == (asked + 1, generation + 1)
        now[0] += 11
        issuer.keys.pop(0)
        with pytest.raises(Refused):
            await keys.find("another")
        with pytest.raises(Refused):
            await keys.find("rsa-1")  # withdrawn by the issuer
        assert set(issuer.asked) == {"/keys"}
        running.cancel()


async def test_an_answer_of_the_issuer_that_is_too_large_or_moved_elsewhere_is_not_followed() -> None:
    from turnlog_runtime.lifecycle import serving

    visited: list[str] = []

    async def hostile(scope: dict, receive: object, send: object) -> None:  # type: ignore[type-arg]
        from turnlog_runtime.asgi import respond

        visited.append(scope["path"])
        if scope["path"] == "/moved":
            await respond(send, 302, b"", [(b"location", b"/elsewhere")])  # type: ignore[arg-type]
        else:
            await respond(send, 200, b" " * 400_000)  # type: ignore[arg-type]

    async with serving(hostile, "127.0.0.1", 0, 1.0) as port:  # type: ignore[arg-type]
        for path in ("/moved", "/large"):
            settings = IssuerSettings(f"http://127.0.0.1:{port}{path}", frozenset({"RS256"}))
            keys = IssuerKeys(settings)
            running = asyncio.create_task(keys.run())
            with pytest.raises(Unknown):
                await keys.find("rsa-1")
            running.cancel()
    assert visited == ["/moved", "/large"]
