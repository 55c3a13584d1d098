"""Settings of a process's door: where it listens, whom it asks for a credential, whose access tokens it takes.

`check_door` holds them together, in one place for every service: `settings.load` calls it.
"""

import ipaddress
from urllib.parse import urlsplit

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "TURNLOG_"
TOKEN_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)  # fmt: skip
"""What may sign an access token: asymmetric algorithms alone, so that no public key is ever a shared secret."""


class SettingsError(Exception):
    """The environment holds a wrong or unknown setting; the message names it and the fix."""


class DoorSettings(BaseSettings):
    """Who is let in, and where."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", populate_by_name=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65_535)
    auth: str = Field(default="required", pattern="^(required|off)$")
    """Whether every call must show a credential (`required`), or everybody is the tenant `default` (`off`: only where
    nobody else reaches the port)."""
    tenant_header: str = Field(default="", pattern=r"^([a-z][a-z0-9-]{0,63})?$")
    """The header in which a proxy that authenticates names the tenant, in lower case; empty: none. Set it only where
    nobody but that proxy can reach the port, and `auth` to `off` with it."""
    public_url: str = Field(default="", pattern=r"^(https?://[^\s\"?#]+)?$")
    """The address that clients call, for what we tell them of ourselves; empty: as their request names it."""
    keys_cached: int = Field(default=10_000, ge=1)
    """The most API keys (and as many access tokens) that a process keeps in mind."""
    keys_stale_max_s: float = Field(default=3_600.0, ge=5)
    """How long an API key that was live is still taken while PostgreSQL is away and cannot say otherwise."""
    jwt_issuer: str = ""
    """The `iss` of access tokens (JWT); empty: only API keys are taken."""
    jwt_audience: str = ""
    """The `aud` that an access token must name: this deployment, as the issuer knows it; several by comma, any of which
    will do (clients of MCP ask their issuer for a token of `<public_url>/mcp`)."""
    jwt_jwks_url: str = ""
    """Where the issuer's public keys are, as a JWK Set: https, or http on this machine."""
    jwt_algorithms: str = "RS256,ES256"
    """What access tokens may be signed with, by comma."""
    jwt_plain_typ: bool = False
    """Whether an access token may have the `typ` `JWT` or none, for issuers that do not set `at+jwt` (RFC 9068)."""
    jwt_tenant_claim: str = Field(default="tenant", min_length=1)
    jwt_scope_claim: str = Field(default="scope", min_length=1)
    """The claim with the scopes: text with spaces between, or a list."""
    jwt_admin: bool = False
    """Whether an access token may hold the scope `admin`, which reads the logs of all tenants: only where the issuer
    gives that name to the operators of this deployment alone, never to a tenant's own administrators."""
    jwt_leeway_s: float = Field(default=10.0, ge=0, le=60)
    """How far the issuer's clock may be off."""
    jwt_keys_refresh_s: float = Field(default=300.0, ge=10)
    """How often the issuer's keys are fetched again."""

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
    if settings.auth == "required" and settings.tenant_header:
        raise SettingsError(
            f"{PREFIX}TENANT_HEADER and {PREFIX}AUTH=required exclude each other: where a proxy in front authenticates "
            f"and names the tenant, set {PREFIX}AUTH=off; where Turnlog checks credentials, unset {PREFIX}TENANT_HEADER"
        )
    if settings.auth == "off" and not settings.tenant_header and not is_loopback(settings.host):
        raise SettingsError(
            f"{PREFIX}HOST={settings.host} is refused with {PREFIX}AUTH=off: whoever reaches the port would read and "
            f"write everything. Set {PREFIX}AUTH=required, or listen on 127.0.0.1; {PREFIX}TENANT_HEADER is for a port "
            "that only a proxy which authenticates can reach"
        )
    _check_tokens(settings)


def _check_tokens(settings: DoorSettings) -> None:
    given = {
        "JWT_ISSUER": settings.jwt_issuer,
        "JWT_AUDIENCE": settings.jwt_audience,
        "JWT_JWKS_URL": settings.jwt_jwks_url,
    }
    if not any(given.values()):
        return
    for name, value in given.items():
        if not value:
            raise SettingsError(f"{PREFIX}{name} is not set: access tokens need issuer, audience and the keys' address")
    if not settings.audiences:
        raise SettingsError(f"{PREFIX}JWT_AUDIENCE names no audience")
    url = urlsplit(settings.jwt_jwks_url)
    if not url.hostname or not (url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname))):
        raise SettingsError(
            f"{PREFIX}JWT_JWKS_URL must begin with https:// (http:// only for a server on this machine)"
        )
    if not settings.algorithms or settings.algorithms - TOKEN_ALGORITHMS:
        known = ", ".join(sorted(TOKEN_ALGORITHMS))
        raise SettingsError(f"{PREFIX}JWT_ALGORITHMS must be some of {known}, by comma")
