"""What this deployment says of itself as a protected resource: RFC 9728 metadata, and the challenge of a refusal."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from turnlog_runtime.asgi import Scope, header
from turnlog_runtime.principal import SCOPES

WELL_KNOWN = "/.well-known/oauth-protected-resource"
RESOURCES = ("", "/mcp")
"""The paths at which this deployment is a resource: the API, and MCP."""
_HOST = re.compile(r"[A-Za-z0-9.\-]{1,253}(:[0-9]{1,5})?|\[[0-9a-fA-F:.]{2,45}\](:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Resource:
    """`public_url` is where clients reach us (empty: where their request says they did); `issuers` are those whose
    access tokens are taken."""

    public_url: str = ""
    issuers: Sequence[str] = ()

    def base(self, scope: Scope) -> str:
        """The address that a request's client reaches us at."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = header(scope, b"host") or ""
        return f"{scope.get('scheme', 'http')}://{host if _HOST.fullmatch(host) else 'localhost'}"

    def metadata(self, scope: Scope, path: str) -> bytes | None:
        """The metadata at a path below `WELL_KNOWN`; None where there is no resource."""
        suffix = path[len(WELL_KNOWN) :]
        if suffix not in RESOURCES:
            return None
        return orjson.dumps(
            {
                "resource": self.base(scope) + suffix,
                "resource_name": "Turnlog",
                "authorization_servers": list(self.issuers),
                "bearer_methods_supported": ["header"],
                "scopes_supported": sorted(SCOPES),
            }
        )

    def challenge(self, scope: Scope, error: str = "", description: str = "", needed: str = "") -> str:
        """The value of `WWW-Authenticate` (RFC 6750, RFC 9728). Without `error`: no credential was shown."""
        suffix = "/mcp" if scope["path"].rstrip("/") == "/mcp" else ""
        parts = {
            "realm": "turnlog",
            "error": error,
            "error_description": description,
            "scope": needed,
            "resource_metadata": f"{self.base(scope)}{WELL_KNOWN}{suffix}",
        }
        return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parts.items() if value)
