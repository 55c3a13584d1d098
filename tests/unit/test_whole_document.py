"""`/openapi.json` of a query service that stands behind a gateway: of the whole API, as `turnlog openapi` writes it."""

import re
from pathlib import Path
from typing import cast

import httpx
import orjson
import pytest

from turnlog_cli.api_document import document
from turnlog_eventstore import Store
from turnlog_query.app import create_app
from turnlog_query.deps import QueryDeps
from turnlog_query.document import whole_document
from turnlog_query.hub import LiveHub
from turnlog_query.logs import Hubs
from turnlog_runtime.settings import QuerySettings, SettingsError, read

DOCKERFILE = Path(__file__).parents[2] / "deploy" / "Dockerfile"


def _no_hub(log: str) -> LiveHub:
    raise AssertionError(log)


async def test_query_answers_with_the_whole_document_and_routes_by_its_own(tmp_path: Path) -> None:
    written = await document()
    file = tmp_path / "api.json"
    file.write_bytes(orjson.dumps(written, option=orjson.OPT_INDENT_2))
    app = create_app(QueryDeps(cast("Store", None), None, Hubs(_no_hub)), whole=whole_document(str(file)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://query") as client:
        answer = await client.get("/openapi.json")
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == written
        assert "post" in written["paths"]["/v1/sessions/{session_id}/turns"]
        refused = await client.post("/v1/sessions/s/turns", content=b"{}")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize("content", [None, b"{", b"[]", b'{"openapi": "3.1.0"}'])
def test_what_is_no_such_document_is_refused_at_the_start(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "api.json").write_bytes(content)
    with pytest.raises(SettingsError, match=r"^TURNLOG_API_DOCUMENT: "):
        whole_document(str(tmp_path / "api.json"))


def test_the_image_makes_it_and_names_it() -> None:
    text = DOCKERFILE.read_text()
    [made] = re.findall(r"^RUN /app/venv/bin/turnlog openapi > (\S+)$", text, re.MULTILINE)
    [named] = re.findall(r"^ENV (TURNLOG_API_DOCUMENT=\S+)$", text, re.MULTILINE)
    variable, _, place = named.partition("=")
    assert f"COPY --from=api-document {made} {place}" in text
    settings = read(QuerySettings, {variable: place}).settings
    assert settings is not None
    assert settings.api_document == place
