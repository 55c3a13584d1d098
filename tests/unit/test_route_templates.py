"""Which route a request is counted as."""

import re

import pytest

from turnlog_access.resource import RESOURCES, WELL_KNOWN
from turnlog_access.route_scopes import OPEN, ROUTES
from turnlog_cli.api_document import document
from turnlog_runtime.route_templates import METHODS, TEMPLATES, UNMATCHED, route_of, session_of


async def test_the_templates_are_the_routes_of_the_table_of_scopes_and_of_the_openapi_document() -> None:
    patterns = {re.sub(r"\{\w+\}", "{}", template) for template in TEMPLATES}
    known = {pattern.rstrip("/") for _, pattern in ROUTES} | OPEN | {WELL_KNOWN + path for path in RESOURCES}
    assert patterns == known
    assert set((await document())["paths"]) <= set(TEMPLATES)
    assert {method for method, _ in ROUTES} <= METHODS


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_is_found_for_a_path_of_it(template: str) -> None:
    assert route_of(re.sub(r"\{\w+\}", "an-id_1", template)) == template
    assert route_of(re.sub(r"\{\w+\}", "turns", template)) == template


ELSEWHERE = """ / /v1 /v1/ /v1/sessions/ /v1/sessions//turns /v1/sessions/a/b/turns /v1/sessions/a/turns/
/v1/sessions/a/what /v1/tasks /v1/tasks/ /v1/tasks/a/b /v1/logs//events /secret /livez/x * /mcp/x"""


@pytest.mark.parametrize("path", ["", *ELSEWHERE.split()])
def test_another_path_is_unmatched(path: str) -> None:
    assert route_of(path) == UNMATCHED


def test_mcp_with_a_slash_is_mcp() -> None:
    assert route_of("/mcp/") == "/mcp"


def test_the_session_of_a_path() -> None:
    assert session_of("/v1/sessions/trip/turns") == "trip"
    assert session_of("/v1/sessions/trip") == "trip"
    assert session_of("/v1/tasks/trip") is None
