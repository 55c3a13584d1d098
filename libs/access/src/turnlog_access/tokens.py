"""Access tokens (JWT, RFC 9068): who holds one, and what it allows. Pure: the key is given.

Every rule pins what the token may say of itself. The algorithm is that of the key, which is one of the configured
asymmetric ones, so neither `none` nor a public key as a shared secret gets by. `typ` tells an access token from an ID
token. Headers that name keys or addresses of their own are refused, not followed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from jwt import PyJWK, PyJWTError

from turnlog_access.errors import Refused
from turnlog_events.ids import is_id
from turnlog_runtime.principal import ADMIN, SCOPES, Principal

KID_MAX_CHARS, SUBJECT_MAX_CHARS = 200, 255
_OWN_KEYS = ("jku", "x5u", "jwk", "crit", "b64")
_OF_ID_TOKENS = ("nonce", "at_hash", "c_hash", "s_hash")
_ACCESS, _PLAIN = frozenset({"at+jwt"}), frozenset({"at+jwt", "jwt", ""})
_REASONS: tuple[tuple[type[PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "it has expired"),
    (jwt.ImmatureSignatureError, "it is not valid yet"),
    (jwt.InvalidAudienceError, "it is for another audience"),
    (jwt.InvalidIssuerError, "it is of another issuer"),
    (jwt.MissingRequiredClaimError, "it lacks a claim among exp, iss, aud and sub"),
    (jwt.InvalidSignatureError, "its signature is wrong"),
)


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must say; of the audiences, any one. `plain_typ`: the `typ` may also be `JWT` or missing. `admin`: a
    token may hold that scope, which is of all tenants; else it is passed over."""

    issuer: str
    audiences: tuple[str, ...]
    algorithms: frozenset[str]
    tenant_claim: str = "tenant"
    scope_claim: str = "scope"
    plain_typ: bool = False
    admin: bool = False
    leeway_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a valid token, and until when (seconds since 1970)."""

    principal: Principal
    expires_at_s: float


def key_id_of(token: str, rules: TokenRules) -> str | None:
    """The `kid` of a token whose header breaks no rule; None when it names no key. Raises `Refused`."""
    try:
        header = jwt.get_unverified_header(token)
    except (PyJWTError, ValueError):
        raise Refused("it is neither an API key nor an access token") from None
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in rules.algorithms:
        raise Refused("its algorithm is not taken")
    kind = header.get("typ", "")
    if not isinstance(kind, str) or _short(kind) not in (_PLAIN if rules.plain_typ else _ACCESS):
        raise Refused("it is no access token: its typ must be at+jwt")
    if any(name in header for name in _OWN_KEYS):
        raise Refused("its header names a key or an extension of its own")
    kid = header.get("kid")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= KID_MAX_CHARS and kid.isprintable()):
        raise Refused("its kid is malformed")
    return kid


def holder_of(token: str, key: PyJWK, rules: TokenRules) -> Holder:
    """Who holds the token, if `key` signed it and its claims are as the rules ask. Raises `Refused`."""
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=sorted(rules.algorithms),
            audience=rules.audiences,
            issuer=rules.issuer,
            leeway=rules.leeway_s,
            options={"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
        )
        expires_at_s = float(claims["exp"]) + rules.leeway_s
    except (PyJWTError, ValueError, TypeError, OverflowError) as error:
        raise Refused(next((said for kind, said in _REASONS if isinstance(error, kind)), "it is malformed")) from None
    if any(name in claims for name in _OF_ID_TOKENS):
        raise Refused("it is an ID token")
    return Holder(_principal(claims, rules), expires_at_s)


def _principal(claims: Mapping[str, Any], rules: TokenRules) -> Principal:
    tenant = claims.get(rules.tenant_claim)
    if not isinstance(tenant, str) or not is_id(tenant):
        raise Refused(f"its claim {rules.tenant_claim} names no tenant")
    if len(claims["sub"]) > SUBJECT_MAX_CHARS or not claims["sub"].isprintable():
        raise Refused(f"its sub has more than {SUBJECT_MAX_CHARS} characters, or some that cannot be printed")
    given = claims.get(rules.scope_claim, "")
    names = given.split() if isinstance(given, str) else given if isinstance(given, list) else ()
    scopes = frozenset(name for name in names if isinstance(name, str)) & (SCOPES if rules.admin else SCOPES - {ADMIN})
    return Principal(tenant, scopes, f"{claims['iss']} {claims['sub']}")


def _short(kind: str) -> str:
    """A media type as `typ` may shorten it (RFC 7515, 4.1.9)."""
    return kind.lower().removeprefix("application/")
