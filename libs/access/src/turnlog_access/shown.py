"""What a request shows: the credential in its `Authorization` header, and none anywhere else. Pure."""

import re
from urllib.parse import unquote_to_bytes

from turnlog_access.key_format import holds_key
from turnlog_runtime.asgi import Scope
from turnlog_runtime.problems import Problem

CREDENTIAL_MAX_BYTES = 8 * 1024
_NAMED = re.compile(
    rb"(?:^|&)(?:access_token|api[_-]?key|auth|authorization|bearer|credential|id_token|jwt|key|password|secret|token)"
    rb"(?:=|&|$)",
    re.IGNORECASE,
)
"""Query parameters that only a credential would have: no call of ours takes one of these names."""


class Missing(Exception):
    """No credential was shown."""


class Malformed(Exception):
    """What was shown has not the form of one; the message says what is wrong, and holds nothing of it."""


def credential_in(scope: Scope) -> bytes:
    """The credential of a request: ASCII, of bounded length. Raises `Missing` or `Malformed`."""
    found: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            if found is not None:
                raise Malformed("there is more than one Authorization header")
            found = value
    if found is None:
        raise Missing
    if found[:7].lower() != b"bearer ":
        raise Malformed("Authorization must be: Bearer, a space, the API key or access token")
    credential = found[7:].strip(b" ")
    if not credential or len(credential) > CREDENTIAL_MAX_BYTES or not credential.isascii():
        raise Malformed(f"the credential must be 1 to {CREDENTIAL_MAX_BYTES} ASCII characters")
    return credential


def check_url(scope: Scope) -> None:
    """Raise `Malformed` for a credential in the URL, where every proxy on the way logs it, and `Problem` 422 for a
    slash hidden in a segment, which would part the path in two ways."""
    query: bytes = scope["query_string"]
    raw: bytes = scope.get("raw_path") or b""
    if b"%" in raw:
        if b"%2f" in raw.lower():
            raise Problem(422, "invalid_id", "an id in the path must not hold a slash", "path")
        raw = unquote_to_bytes(raw)
    names = query
    if b"%" in query:
        names = b"&".join(unquote_to_bytes(pair.partition(b"=")[0]) for pair in query.split(b"&"))
        query = unquote_to_bytes(query)
    if holds_key(raw) or (query and (_NAMED.search(names) is not None or holds_key(query))):
        raise Malformed("a credential in the URL is not taken; send it as Authorization: Bearer, and revoke this one")
