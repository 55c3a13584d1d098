"""An answer as it leaves a service: ready bytes and the tag that names them. JSON is joined from bytes
where possible.

A session's id needs no escaping in JSON (its characters are letters, digits and `._:@+-#~`), nor do
versions, so the turns' own bytes can be joined without being parsed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from turnlog_query.etag import etag_of
from turnlog_query.frame import REDIS, Page


@dataclass(frozen=True, slots=True)
class Answer:
    """A body and, for reads of one session, its entity tag; an empty tag for answers without one."""

    body: bytes
    etag: str = ""


def page_answer(session_id: str, page: Page, stale: bool) -> Answer:
    """The turns of a page: `{"session_id", "version", "revision", "turns": […], "source"}`."""
    head = f'{{"session_id":"{session_id}","version":{page.version},"revision":{page.revision},"turns":['
    tail = _tail(page.source, stale)
    body = b"".join((head.encode(), b",".join(page.turns), b"],", tail))
    return Answer(body, etag_of(page.version, page.revision))


def object_answer(fields: Mapping[str, Any], version: int, revision: int, source: str, stale: bool) -> Answer:
    """An object of a session at a version and a revision, with the `source` it was read from."""
    body = orjson.dumps(fields)[:-1] + b"," + _tail(source, stale)
    return Answer(body, etag_of(version, revision))


def _tail(source: str, stale: bool) -> bytes:
    """`stale` stands only where it is true: Redis answered while PostgreSQL, its truth, cannot be asked."""
    mark = ',"stale":true' if stale and source == REDIS else ""
    return f'"source":"{source}"{mark}}}'.encode()
