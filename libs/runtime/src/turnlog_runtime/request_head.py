"""What a request's head must look like before an app sees it: the rules that the parser does not keep. Pure.

A head that two readers can read in two ways lets one request hide in another (RFC 9112, section 11.2), so whatever is
ambiguous is refused with 400 and the connection ends. llhttp, strict, refuses most of it: bare CR or LF, folded lines,
control characters, Content-Length twice or beside Transfer-Encoding, spaces before a colon. Called by `connection.py`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from turnlog_runtime.problems import Problem

_ABSOLUTE = re.compile(rb"https?://[^/?#]+", re.IGNORECASE)
_HOST = re.compile(rb"(\[[0-9A-Za-z:.%~_-]+\]|[0-9A-Za-z._~!$&'()*+,;=%-]*)(:\d{0,5})?")
_CHECKED = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})
MALFORMED = "malformed_request"


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """The bounds of a connection. A client that keeps within them is never cut."""

    head_bytes: int = 32 * 1024
    """Request line and header fields of one request."""
    head_fields: int = 100
    head_s: float = 9.0
    """From a connection's start, or the first byte of a further request, to the end of the head: closed within 10 s."""
    surplus_bytes: int = 16 * 1024
    """What a body may cost on the wire beyond its own bytes and 32 for each chunk: extensions, mostly."""
    linger_s: float = 2.0
    """How long bytes are read and dropped after a last answer, so that a client still sending gets to read it."""
    linger_bytes: int = 64 * 1024 * 1024
    take_s: float = 30.0
    """Each so often a client must have taken `take_bytes` of an answer that waits for it."""
    take_bytes: int = 64 * 1024


def malformed(what: str, param: str | None = None) -> Problem:
    """400: these bytes are no request that everybody reads alike."""
    return Problem(400, MALFORMED, what, param)


@lru_cache(maxsize=64)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def target_of(url: bytes) -> tuple[bytes, bytes]:
    """The path, still encoded, and the query of a request target in origin or absolute form. Raises `Problem` 400."""
    if not url.startswith(b"/") and url != b"*":
        absolute = _ABSOLUTE.match(url)
        if absolute is None:
            raise malformed("the request target must be a path, or an http address with one")
        url = url[absolute.end() :]
        if not url.startswith(b"/"):
            url = b"/" + url
    if b"#" in url:
        raise malformed("the request target holds a fragment; write # as %23")
    path, _, query = url.partition(b"?")
    return path, query


def check_fields(version: str, fields: Iterable[tuple[bytes, bytes]], *, upgrade: bool) -> bool:
    """Check the header fields (names in lower case) of a request; whether it waits for `100 Continue`.

    `upgrade` says that it asks for another protocol. Raises `Problem` 400 or 417.
    """
    if version not in ("1.1", "1.0"):
        raise malformed(f"HTTP/1.1 is spoken here, not HTTP/{version}")
    hosts, expects, has_body = 0, False, False
    for name, value in fields:
        if name not in _CHECKED:
            continue
        if name == b"host":
            hosts += 1
            if not _is_host(value):
                raise malformed("host: must be a host, or a host and a port", "host")
        elif name == b"content-length":
            has_body = value != b"0"
        elif name == b"transfer-encoding":
            has_body = True
            if version != "1.1" or value.lower() != b"chunked":
                raise malformed("transfer-encoding: must be chunked, in HTTP/1.1", "transfer-encoding")
        else:
            expects = True
            if value.lower() != b"100-continue":
                raise Problem(417, "expectation_failed", "expect: must be 100-continue, or left out", "expect")
    if hosts > 1 or (not hosts and version == "1.1"):
        raise malformed("host: must be sent once", "host")
    if upgrade and has_body:
        # The parser passes over the body of such a request, and would read it as the next one.
        raise malformed("upgrade: a request that asks for another protocol must have no body", "upgrade")
    return expects and version == "1.1"


def too_large(limits: HttpLimits, *, target_alone: bool) -> Problem:
    """431, or 414 when the head has not got beyond its request target."""
    if target_alone:
        return Problem(414, "target_too_long", f"the request target has more than {limits.head_bytes} bytes")
    message = f"the head of a request has at most {limits.head_bytes} bytes and {limits.head_fields} fields"
    return Problem(431, "head_too_large", message)


def head_late(limits: HttpLimits) -> Problem:
    """408."""
    return Problem(408, "request_timeout", f"the head of the request did not arrive within {limits.head_s:g} s", "head")
