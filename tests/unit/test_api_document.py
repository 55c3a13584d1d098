"""The API's page for people says what its OpenAPI document says."""

from pathlib import Path

import pytest

from turnlog_cli.api_document import document, reference

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


async def test_the_page_is_made_from_the_document_as_it_is_now() -> None:
    assert PAGE.read_text() == reference(await document()), "run: turnlog openapi --markdown > docs/api.md"


async def test_every_call_of_the_document_stands_in_the_page() -> None:
    api = await document()
    page = reference(api)
    for path, item in api["paths"].items():
        for method in item:
            assert f"\n## {method.upper()} {path}\n" in page


@pytest.mark.parametrize(
    "schema, told",
    [
        ({"type": "integer", "minimum": 1, "maximum": 9, "default": 5}, "integer 1 to 9, default `5`"),
        ({"type": "array", "items": {"type": "string"}}, "list of string"),
        ({"anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}]}, "string ≤ 3"),
        ({"enum": ["a", "b"]}, "`a` \\| `b`"),
        ({"$ref": "#/components/schemas/Role"}, "`x`"),
    ],
)
def test_types_are_told_in_a_few_words(schema: dict[str, object], told: str) -> None:
    answer = {"description": "ok"}
    call = {
        "summary": "S",
        "parameters": [{"name": "p", "in": "query", "schema": schema}],
        "responses": {"200": answer},
    }
    api = {"paths": {"/v1/x": {"get": call}}, "components": {"schemas": {"Role": {"const": "x"}}}}
    assert f"| `p` | query | {told} |  |" in reference(api)
