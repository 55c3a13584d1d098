"""What schemathesis must be told of this API, for tests/integration/test_api_schema.py."""

import re
from typing import Any

import schemathesis

IF_MATCH = re.compile(r'(W/)?"v\d{1,18}(\.s\d+)?"')


@schemathesis.serializer("application/x-ndjson")
def lines(context: schemathesis.SerializationContext, value: object) -> bytes:
    """A body of lines is text already."""
    return str(value).encode("utf-8", "surrogatepass")


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Of what shall be taken: an id stands in the header or in the body, and a tag is one of ours (schemathesis makes
    `If-Match` of its own)."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if isinstance(case.body, dict) and (case.body.get("turn_id") or case.body.get("memory_id")):
        case.headers.pop("Idempotency-Key", None)
    if IF_MATCH.fullmatch(str(case.headers.get("If-Match", ""))) is None:
        case.headers.pop("If-Match", None)
