"""The OpenAPI document, with the examples whole: FastAPI drops every null from them, and a null is an
answer. Behind a gateway, query answers with that of the whole API, from a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from turnlog_runtime.described import completed
from turnlog_runtime.settings import SettingsError


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


def whole_document(file: str) -> bytes | None:
    """The document of the whole API in a file, to be sent; None where no file is named. Raises `SettingsError`."""
    if not file:
        return None
    try:
        document = orjson.loads(Path(file).read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError(f"TURNLOG_API_DOCUMENT: {file} cannot be read as JSON: {error}") from None
    if not isinstance(document, dict) or not {"openapi", "paths"} <= document.keys():
        raise SettingsError(f"TURNLOG_API_DOCUMENT: {file} is no OpenAPI document; `turnlog openapi` writes one")
    return orjson.dumps(document)


def _restore_examples(item: dict[str, Any], route: APIRoute) -> None:
    for method in route.methods or ():
        answers = item[method.lower()]["responses"]
        for status, given in route.responses.items():
            for media_type, content in given.get("content", {}).items():
                answers[str(status)]["content"][media_type] |= {
                    name: content[name] for name in ("example", "examples") if name in content
                }
