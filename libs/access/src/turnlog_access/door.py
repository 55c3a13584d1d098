"""The door of a process: what checks its credentials, opened once and shared by all its apps.

async with door(settings) as gate:  # what the settings ask for: credentials, a proxy's header, or nothing
    app = create_app(…, gate=in_order(gate, …))
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

from turnlog_access.errors import Refused
from turnlog_access.gate import AccessGate
from turnlog_access.issuer_keys import IssuerKeys, IssuerSettings
from turnlog_access.keyring import Keyring, KeyringSettings
from turnlog_access.resource import Resource
from turnlog_access.shown import CREDENTIAL_MAX_BYTES
from turnlog_access.token_door import TokenDoor
from turnlog_access.tokens import TokenRules
from turnlog_access.verifier import Verifier
from turnlog_eventstore import ApiKeys, StoreSettings
from turnlog_runtime.asgi import App
from turnlog_runtime.door_settings import DoorSettings
from turnlog_runtime.principal import Gate, Principal
from turnlog_runtime.settings import SharedSettings, required_url
from turnlog_runtime.tenants import unchecked_gate

LAST_NOTE_S = 1.0


class Access:
    """An open door: `gate` for HTTP apps, `principal` for whoever speaks another protocol (MCP)."""

    def __init__(self, verifier: Verifier, resource: Resource) -> None:
        self._verifier, self.resource = verifier, resource

    def gate(self, app: App) -> App:
        """The app behind the gate."""
        return AccessGate(app, self._verifier, self.resource)

    async def principal(self, credential: str) -> Principal:
        """Whom a credential stands for. Raises `Refused` or `Unknown` (`turnlog_access.errors`)."""
        if not credential.isascii() or len(credential) > CREDENTIAL_MAX_BYTES:
            raise Refused("it has not the form of a credential")
        shown = credential.encode()
        digest = sha256(shown).digest()
        return self._verifier.known(digest) or await self._verifier.find(shown, digest)


@asynccontextmanager
async def door(settings: SharedSettings) -> AsyncIterator[Gate]:
    """The gate that the settings ask for. Raises `SettingsError`."""
    if settings.auth == "off":
        yield unchecked_gate(settings)
        return
    async with opened(settings) as access:
        yield access.gate


@asynccontextmanager
async def opened(settings: SharedSettings, keyring_settings: KeyringSettings | None = None) -> AsyncIterator[Access]:
    """Keyring and issuer's keys at work until the block ends. Raises `SettingsError` without an address of PostgreSQL;
    one that is away is no error."""
    url = required_url(settings.database_url, "DATABASE_URL")
    source = await ApiKeys.open(url, StoreSettings(pool_connections=2, role=settings.database_role))
    keyring = Keyring(source, keyring_settings or _keyring_settings(settings))
    issuer = IssuerKeys(_issuer_settings(settings)) if settings.jwt_issuer else None
    tokens = TokenDoor(issuer, _rules(settings), settings.keys_cached) if issuer is not None else None
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(keyring.run())]
            if issuer is not None:
                running.append(tasks.create_task(issuer.run()))
            try:
                yield Access(Verifier(keyring, tokens), _resource(settings))
            finally:
                for task in running:
                    task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_NOTE_S):
                await keyring.note()
    finally:
        await source.close()


def _keyring_settings(settings: DoorSettings) -> KeyringSettings:
    return KeyringSettings(stale_max_s=settings.keys_stale_max_s, known_max=settings.keys_cached)


def _issuer_settings(settings: DoorSettings) -> IssuerSettings:
    return IssuerSettings(settings.jwt_jwks_url, settings.algorithms, settings.jwt_keys_refresh_s)


def _rules(settings: DoorSettings) -> TokenRules:
    return TokenRules(
        issuer=settings.jwt_issuer,
        audiences=settings.audiences,
        algorithms=settings.algorithms,
        tenant_claim=settings.jwt_tenant_claim,
        scope_claim=settings.jwt_scope_claim,
        plain_typ=settings.jwt_plain_typ,
        admin=settings.jwt_admin,
        leeway_s=settings.jwt_leeway_s,
    )


def _resource(settings: DoorSettings) -> Resource:
    return Resource(settings.public_url, (settings.jwt_issuer,) if settings.jwt_issuer else ())
