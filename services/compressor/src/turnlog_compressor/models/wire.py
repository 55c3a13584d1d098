"""What both providers share: an HTTP client that cannot be flooded, and errors sorted into kinds.

The SDKs read lines, events and error bodies of any size into memory, so the limit sits below them: the body is counted
as it comes off the wire, and compressed bodies (a bomb needs few bytes) are refused.
"""

import email.utils
import logging
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx2

from turnlog_compressor.models.port import Kind, ModelError

BODY_BYTES: Final = 8 * 2**20
"""A streamed answer costs some 300 bytes a token in framing: this is room for 25,000 tokens."""
EVENT_BYTES: Final = 131_072
"""One server-sent event: the Anthropic SDK joins its lines in quadratic time."""
TEXT_CHARS: Final = 65_536
CONNECT_S: Final = 10.0
RETRY_AFTER_LIMIT_S: Final = 86_400.0


_BLANK_LINES = (b"\n\n", b"\r\r", b"\r\n\r\n")


class BodyTooLong(httpx2.ReadError):
    """The server sends more than any summary needs."""


class _Counted(httpx2.AsyncByteStream):
    """A body that ends in `BodyTooLong` above `body_bytes`, or above `event_bytes` without a blank line."""

    def __init__(self, inner: httpx2.AsyncByteStream, body_bytes: int, event_bytes: int) -> None:
        self._inner = inner
        self._left = body_bytes
        self._event_bytes = event_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        tail, open_bytes = b"", 0
        async for chunk in self._inner:
            self._left -= len(chunk)
            seen = tail + chunk
            border = max(seen.rfind(blank) for blank in _BLANK_LINES)
            open_bytes = len(seen) - border if border >= 0 else open_bytes + len(chunk)
            if self._left < 0 or open_bytes > self._event_bytes:
                raise BodyTooLong("body over the limit")
            tail = seen[-3:]
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _bounded(response: httpx2.Response) -> None:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise BodyTooLong("compressed body", request=response.request)
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    event_bytes = EVENT_BYTES if response.is_success else BODY_BYTES
    response.stream = _Counted(response.stream, BODY_BYTES, event_bytes)


def bounded_client(deadline_s: float) -> httpx2.AsyncClient:
    """An HTTP client for a model: bodies bounded, no redirects (a key must not follow one), each wait bounded."""
    for name in ("openai", "anthropic", "httpx2", "httpcore2"):  # they log requests, at DEBUG with what is in them
        logging.getLogger(name).setLevel(logging.WARNING)
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(deadline_s, connect=min(CONNECT_S, deadline_s)),
        limits=httpx2.Limits(max_connections=16, max_keepalive_connections=4),
        follow_redirects=False,
        event_hooks={"response": [_bounded]},
        headers={"accept-encoding": "identity"},
    )


def kind_of_status(status: int) -> Kind:
    """The kind of an HTTP error status."""
    if status in (401, 403):
        return "unauthorized"
    if status in (404, 405, 410):
        return "not_found"
    if status == 429:
        return "rate_limited"
    if status == 408:
        return "timeout"
    if status >= 500 or status in (409, 425):
        return "server_error"
    return "bad_request" if status >= 400 else "garbage"


def model_error(error: Exception, sdk: Any) -> ModelError:
    """The kind of an exception of an SDK (`openai` or `anthropic`: both name theirs alike), of HTTP, or of reading
    what was sent."""
    if isinstance(error, ModelError):
        return error
    if _was_flooded(error):
        return ModelError("too_long")
    if isinstance(error, sdk.APIStatusError):
        status: int = error.status_code
        if status < 400:  # an error event inside the stream
            return ModelError("server_error")
        return ModelError(kind_of_status(status), retry_after_s(error.response.headers, time.time()))
    if isinstance(error, TimeoutError | sdk.APITimeoutError | httpx2.TimeoutException):
        return ModelError("timeout")
    if isinstance(error, OSError | sdk.APIConnectionError | httpx2.HTTPError):
        return ModelError("connection")
    if isinstance(error, sdk.APIError):
        return ModelError("server_error")
    if isinstance(error, ValueError | TypeError | AttributeError | LookupError):
        return ModelError("garbage")
    return ModelError("unexpected")


def _was_flooded(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, BodyTooLong):
            return True
        error = error.__cause__ or error.__context__
    return False


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """What `Retry-After` asks for, as seconds from now (0..86,400); None when absent or malformed. `now_s` is wall
    time, because the header may be a date."""
    value = headers.get("retry-after", "").strip()
    try:
        asked = float(value)
    except ValueError:
        try:
            asked = email.utils.parsedate_to_datetime(value).timestamp() - now_s
        except (ValueError, OverflowError, TypeError):
            return None
    return min(RETRY_AFTER_LIMIT_S, max(0.0, asked)) if asked == asked else None


class Gathered:
    """The text of an answer while it streams in; more than `TEXT_CHARS` is `too_long`."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._chars = 0

    def add(self, part: object) -> None:
        """Append a piece of text (None and "" are common). Raises `ModelError`."""
        if not part:
            return
        if not isinstance(part, str):
            raise ModelError("garbage")
        self._chars += len(part)
        if self._chars > TEXT_CHARS:
            raise ModelError("too_long")
        self._parts.append(part)

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._parts)


def count_of(value: object) -> int:
    """A token count as a server gave it; 0 for anything that is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**9 else 0
