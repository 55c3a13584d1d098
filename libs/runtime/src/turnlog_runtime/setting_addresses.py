"""Addresses of servers as settings: what is wrong with one, and how one is shown without its password. Pure."""

import re
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from turnlog_runtime.setting_marks import NATS, POSTGRES, Address

HIDDEN = "********"
_SECRET_PARTS = frozenset({"password", "passwd", "sslpassword", "token", "auth", "api_key", "apikey", "key", "secret"})


def address_problem(value: str, kind: Address) -> str:
    """What is wrong with an address, as what follows "TURNLOG_X" in a sentence; empty for a good one. It never holds
    a part of the value: that may be a password."""
    begins = " or ".join(f"{scheme}://" for scheme in kind.schemes)
    if re.search(r"[\s\x00-\x1f\x7f]", value):
        return f"holds a space or a line break: must be one address that begins with {begins}"
    try:
        parts = urlsplit(value)
    except ValueError:
        return f"is no address: must begin with {begins}, an IPv6 address in [ ]"
    if parts.scheme not in kind.schemes or not value[len(parts.scheme) :].startswith("://"):
        return f"must begin with {begins}"
    if parts.fragment or "@" in parts.path or (parts.scheme != "unix" and "/" in parts.netloc):
        return "has a # or a / before its @: in a user or password write # as %23, / as %2F, ? as %3F, @ as %40"
    if kind == NATS and "," in parts.netloc:
        return "names several servers: give one of them, it tells of the others"
    return _place_problem(parts, kind)


def _place_problem(parts: SplitResult, kind: Address) -> str:
    if parts.scheme == "unix":
        return "" if parts.path.strip("/") else "names no socket: must be like unix:///run/redis/redis.sock"
    if kind == POSTGRES and "," in parts.netloc:
        return ""  # several hosts, as libpq and asyncpg read them
    try:
        port = parts.port
    except ValueError:
        return "has no right port: must be a number from 1 to 65535 (and # / ? in a password as %23 %2F %3F)"
    if port == 0:
        return "has the port 0: must be one from 1 to 65535"
    if not parts.hostname and kind not in (POSTGRES,):
        return f"names no host: must be like {kind.schemes[0]}://host"
    return ""


def without_password(value: str) -> str:
    """An address with `********` for its password (and for what stands alone before its @: NATS takes a token there);
    nothing but that for what has a password and cannot be read as an address."""
    if "@" not in value and "?" not in value:
        return value
    try:
        parts = urlsplit(value)
        if not parts.scheme or "://" not in value or parts.fragment or "@" in parts.path:
            return HIDDEN
        login, at, place = parts.netloc.rpartition("@")
        user, colon, _ = login.partition(":")
        named = user and (colon or parts.scheme in POSTGRES.schemes)
        shown = (f"{user}:{HIDDEN}" if colon else user) if named else HIDDEN if login else ""
        query = urlencode(
            [
                (k, HIDDEN if k.lower() in _SECRET_PARTS else v)
                for k, v in parse_qsl(parts.query, keep_blank_values=True)
            ],
            safe="*/:",
        )
        return f"{parts.scheme}://{shown}{at}{place}{parts.path}" + (f"?{query}" if query else "")
    except ValueError:
        return HIDDEN
