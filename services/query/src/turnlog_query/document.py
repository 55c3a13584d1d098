"""The OpenAPI document, with the examples whole: FastAPI drops every null from them, and a null is an
answer."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from turnlog_runtime.described import completed


def document_of(api: FastAPI, routers: Sequence[APIRouter]) -> dict[str, Any]:
    """The document of `api`, which includes `routers` (without prefixes). Made once, then the same object."""
    if api.openapi_schema is None:
        document = FastAPI.openapi(api)
        for router in routers:
            for route in router.routes:
                if isinstance(route, APIRoute):
                    _restore_examples(document["paths"][route.path], route)
        completed(document)
    return FastAPI.openapi(api)


def _restore_examples(item: dict[str, Any], route: APIRoute) -> None:
    for method in route.methods or ():
        answers = item[method.lower()]["responses"]
        for status, given in route.responses.items():
            for media_type, content in given.get("content", {}).items():
                answers[str(status)]["content"][media_type] |= {
                    name: content[name] for name in ("example", "examples") if name in content
                }
