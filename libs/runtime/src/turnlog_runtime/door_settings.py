"""Settings of a process's door: where it listens, whom it asks for a credential, whose access tokens it takes.

`problems` holds them together, in one place for every service: reading calls it.
"""

import ipaddress
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from turnlog_runtime.setting_facts import PREFIX
from turnlog_runtime.setting_marks import Allowed, Unit
from turnlog_runtime.setting_problems import SettingsError

TOKEN_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)  # fmt: skip
"""What may sign an access token: asymmetric algorithms alone, so that no public key is ever a shared secret."""


class DoorSettings(BaseSettings):
    """Who is let in, and where."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    host: Annotated[str, Allowed("an address of this machine, or the name of one")] = "127.0.0.1"
    """Where the service listens: `127.0.0.1` for this machine only, `0.0.0.0` or `::` for everybody who reaches it."""
    port: int = Field(default=8080, ge=0, le=65_535)
    """The port it listens on; 0: any free one."""
    auth: str = Field(default="required", pattern="^(required|off)$")
    """Whether every call must show a credential (`required`), or everybody is the tenant `default` (`off`: only where
    nobody else reaches the port)."""
    tenant_header: Annotated[str, Allowed("a header's name in lower case, or empty")] = Field(
        default="", pattern=r"^([a-z][a-z0-9-]{0,63})?$"
    )
    """The header in which a proxy that authenticates names the tenant, in lower case; empty: none. Set it only where
    nobody but that proxy can reach the port, and `auth` to `off` with it."""
    public_url: Annotated[str, Allowed("an address that begins with https:// or http://, without ? or #, or empty")] = (
        Field(default="", pattern=r"^(https?://[^\s\"?#]+)?$")
    )
    """The address that clients call, for what we tell them of ourselves; empty: as their request names it."""
    keys_cached: Annotated[int, Unit("keys")] = Field(default=10_000, ge=1)
    """The most API keys (and as many access tokens) that a process keeps in mind."""
    keys_stale_max_s: float = Field(default=3_600.0, ge=5)
    """How long an API key that was live is still taken while PostgreSQL is away and cannot say otherwise."""
    jwt_issuer: str = ""
    """The `iss` of access tokens (JWT); empty: only API keys are taken."""
    jwt_audience: str = ""
    """The `aud` that an access token must name: this deployment, as the issuer knows it; several by comma, any of which
    will do (clients of MCP ask their issuer for a token of `<public_url>/mcp`)."""
    jwt_jwks_url: Annotated[
        str, Allowed("an https:// address (http:// only for a server on this machine), or empty")
    ] = ""
    """Where the issuer's public keys are, as a JWK Set: https, or http on this machine."""
    jwt_algorithms: Annotated[str, Allowed("some of " + ", ".join(sorted(TOKEN_ALGORITHMS)) + ", by comma")] = (
        "RS256,ES256"
    )
    """What access tokens may be signed with, by comma."""
    jwt_plain_typ: bool = False
    """Whether an access token may have the `typ` `JWT` or none, for issuers that do not set `at+jwt` (RFC 9068)."""
    jwt_tenant_claim: str = Field(default="tenant", min_length=1)
    """The claim that names the tenant."""
    jwt_scope_claim: str = Field(default="scope", min_length=1)
    """The claim with the scopes: text with spaces between, or a list."""
    jwt_admin: bool = False
    """Whether an access token may hold the scope `admin`, which reads the logs of all tenants: only where the issuer
    gives that name to the operators of this deployment alone, never to a tenant's own administrators."""
    jwt_leeway_s: float = Field(default=10.0, ge=0, le=60)
    """How far the issuer's clock may be off."""
    jwt_keys_refresh_s: float = Field(default=300.0, ge=10)
    """How often the issuer's keys are fetched again."""

    def problems(self) -> Iterator[str]:
        """What does not go together, each with the fix."""
        if self.auth == "required" and self.tenant_header:
            yield (
                f"{PREFIX}TENANT_HEADER and {PREFIX}AUTH=required exclude each other: where a proxy in front "
                f"authenticates and names the tenant, set {PREFIX}AUTH=off; where Turnlog checks credentials, unset "
                f"{PREFIX}TENANT_HEADER"
            )
        if self.auth == "off" and not self.tenant_header and not is_loopback(self.host):
            yield (
                f"{PREFIX}HOST={self.host} is refused with {PREFIX}AUTH=off: whoever reaches the port would read and "
                f"write everything. Set {PREFIX}AUTH=required, or listen on 127.0.0.1; {PREFIX}TENANT_HEADER is for a "
                "port that only a proxy which authenticates can reach"
            )
        yield from _token_problems(self)

    @property
    def audiences(self) -> tuple[str, ...]:
        """The names in `jwt_audience`."""
        return tuple(name.strip() for name in self.jwt_audience.split(",") if name.strip())

    @property
    def algorithms(self) -> frozenset[str]:
        """The names in `jwt_algorithms`."""
        return frozenset(name.strip() for name in self.jwt_algorithms.split(",") if name.strip())


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a port on this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_door(settings: DoorSettings) -> None:
    """Raise `SettingsError` for settings that do not go together."""
    if problems := [*settings.problems()]:
        raise SettingsError(*problems)


def _token_problems(settings: DoorSettings) -> Iterator[str]:
    given = {
        "JWT_ISSUER": settings.jwt_issuer,
        "JWT_AUDIENCE": settings.jwt_audience,
        "JWT_JWKS_URL": settings.jwt_jwks_url,
    }
    if not any(given.values()):
        return
    for name, value in given.items():
        if not value:
            yield f"{PREFIX}{name} is not set: access tokens need issuer, audience and the keys' address"
    if settings.jwt_audience and not settings.audiences:
        yield f"{PREFIX}JWT_AUDIENCE names no audience: give the `aud` of your access tokens"
    if settings.jwt_jwks_url and not _may_serve_keys(settings.jwt_jwks_url):
        yield f"{PREFIX}JWT_JWKS_URL must begin with https:// (http:// only for a server on this machine)"
    if not settings.algorithms or settings.algorithms - TOKEN_ALGORITHMS:
        known = ", ".join(sorted(TOKEN_ALGORITHMS))
        yield f"{PREFIX}JWT_ALGORITHMS must be some of {known}, by comma"


def _may_serve_keys(address: str) -> bool:
    try:
        url = urlsplit(address)
    except ValueError:
        return False
    return bool(url.hostname) and (url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname or "")))


__all__ = ["PREFIX", "TOKEN_ALGORITHMS", "DoorSettings", "SettingsError", "check_door", "is_loopback"]
