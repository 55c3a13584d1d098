"""What the tests of access share: keys in PostgreSQL, the whole API behind its gate on a port, an issuer of tokens."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import SecretStr

from conftest import RealServers
from turnlog_access.door import opened
from turnlog_access.key_format import MintedKey, mint
from turnlog_access.keyring import KeyringSettings
from turnlog_bus import Bus
from turnlog_cli.compose import OneApi
from turnlog_eventstore import Administration, Store
from turnlog_eventstore.administration import NewKey
from turnlog_ingest.service import ingest
from turnlog_query.service import query
from turnlog_runtime.asgi import JSON, Receive, Scope, Send, respond
from turnlog_runtime.health import Health
from turnlog_runtime.lifecycle import serving
from turnlog_runtime.principal import ADMIN, AUDIT, READ, WRITE
from turnlog_runtime.settings import IngestSettings, QuerySettings

ISSUER, AUDIENCE = "https://issuer.test", "https://turnlog.test"
AGENT = (WRITE, READ)
ALL = (WRITE, READ, AUDIT, ADMIN)


async def new_key(
    owner_dsn: str, tenant: str, scopes: tuple[str, ...] = AGENT, expires_in: timedelta | None = None
) -> MintedKey:
    """An API key, stored."""
    minted, owner = mint(), await Administration.open(owner_dsn)
    try:
        at = datetime.now(UTC) + expires_in if expires_in is not None else None
        await owner.create_key(NewKey(minted.key_id, tenant, minted.sha256, scopes, "test", at))
    finally:
        await owner.close()
    return minted


async def revoke(owner_dsn: str, key: MintedKey) -> None:
    """Revoke it, as `turnlog keys revoke` does."""
    owner = await Administration.open(owner_dsn)
    try:
        assert await owner.revoke_key(key.key_id) is not None
    finally:
        await owner.close()


def bearer(credential: MintedKey | str) -> dict[str, str]:
    """The header that shows it."""
    text = credential if isinstance(credential, str) else credential.credential
    return {"authorization": f"Bearer {text}"}


@asynccontextmanager
async def api(
    servers: RealServers,
    log: str,
    *,
    keyring: KeyringSettings = KeyringSettings(),
    dsn: str | None = None,
    **settings: Any,
) -> AsyncIterator[httpx.AsyncClient]:
    """Writes and reads behind one gate, on a port of their own; a client of it."""
    given = {"database_url": SecretStr(dsn or servers.dsn), "log": log, "logs": log, "auth": "required", **settings}
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        stores = [await Store.open(dsn or servers.dsn) for _ in range(2)]
        bus = Bus(servers.nats_url)
        for closing in (*stores, bus):
            stack.push_async_callback(closing.close)
        access = await stack.enter_async_context(opened(IngestSettings(**given), keyring))
        reads = QuerySettings(redis_url=SecretStr(servers.redis_url), **given)
        reading = await stack.enter_async_context(query(stores[0], None, reads, stop, access.gate))
        writing = await stack.enter_async_context(ingest(stores[1], bus, IngestSettings(**given), stop, access.gate))
        stack.callback(stop.set)
        port = await stack.enter_async_context(
            serving(Health(OneApi(writing, reading, access.gate), {}), "127.0.0.1", 0, 2.0)
        )
        client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20)
        yield await stack.enter_async_context(client)


@dataclass
class SigningKey:
    """A key pair of an issuer."""

    kid: str | None
    private: Any
    algorithm: str

    def public_jwk(self) -> dict[str, Any]:
        """The public half as the issuer publishes it."""
        made: dict[str, Any] = jwt.get_algorithm_by_name(self.algorithm).to_jwk(self.private.public_key(), as_dict=True)  # type: ignore[call-overload]
        return made | {"use": "sig", "alg": self.algorithm} | ({"kid": self.kid} if self.kid else {})

    def public_pem(self) -> bytes:
        """The public half as text, as an attacker has it too."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        pem: bytes = self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return pem


@cache
def rsa_key(kid: str | None = "rsa-1", bits: int = 2048) -> SigningKey:
    """An RSA key pair."""
    return SigningKey(kid, rsa.generate_private_key(65537, bits), "RS256")


@cache
def ec_key(kid: str | None = "ec-1") -> SigningKey:
    """An elliptic curve key pair."""
    return SigningKey(kid, ec.generate_private_key(ec.SECP256R1()), "ES256")


def claims(tenant: str = "acme", **more: Any) -> dict[str, Any]:
    """The claims of a good access token; None takes one away."""
    now = int(time.time())
    made = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "agent-7", "iat": now, "exp": now + 300, "tenant": tenant,
        "scope": f"{WRITE} {READ}", **more,
    }  # fmt: skip
    return {name: value for name, value in made.items() if value is not None}


def token(key: SigningKey, body: Mapping[str, Any], **header: Any) -> str:
    """A signed token; headers that are None are left out."""
    names = {"typ": "at+jwt", "kid": key.kid, **header}
    return jwt.encode(dict(body), key.private, key.algorithm, {k: v for k, v in names.items() if v is not None})


def unsigned(body: Mapping[str, Any], signature: str = "", **header: Any) -> str:
    """A token of `alg` `none`, or whatever the header says, with this signature."""

    def part(value: Mapping[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'typ': 'at+jwt', **header})}.{part(body)}.{signature}"


@dataclass
class Issuer:
    """A real HTTP server with a JWK Set, and how often it was asked for what. Without `answers` it is in trouble."""

    keys: list[SigningKey]
    answers: bool = True
    port: int = 0
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where its keys are."""
        return f"http://127.0.0.1:{self.port}/keys"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the keys, whatever is asked for."""
        self.asked.append(scope["path"])
        if not self.answers:
            await respond(send, 500, b"")
            return
        body = json.dumps({"keys": [key.public_jwk() for key in self.keys]}).encode()
        await respond(send, 200, body, (JSON,))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Issuer"]:
        """At work until the block ends."""
        async with serving(self, "127.0.0.1", 0, 1.0) as self.port:
            yield self

    def settings(self) -> dict[str, Any]:
        """What a service is told of it."""
        return {
            "jwt_issuer": ISSUER,
            "jwt_audience": AUDIENCE,
            "jwt_jwks_url": self.url,
            "jwt_algorithms": "RS256,ES256",
        }
