"""Answers as HTTP responses, for the documented routes."""

from fastapi import Request
from starlette.responses import Response

from turnlog_query.answer import Answer
from turnlog_query.etag import matches

_HEADERS = {"cache-control": "private, no-cache"}


def responded(request: Request, answer: Answer) -> Response:
    """200 with the body, or 304 when the client named the answer's tag in `If-None-Match`."""
    headers = _HEADERS | ({"etag": answer.etag} if answer.etag else {})
    given = request.headers.get("if-none-match")
    if answer.etag and given is not None and matches(given, answer.etag):
        return Response(status_code=304, headers=headers)
    return Response(answer.body, media_type="application/json", headers=headers)
