"""The API as a document: OpenAPI as `/openapi.json` serves it, made without any server, and the page that people read.

Who calls: `turnlog openapi`, and the test that holds `docs/api.md` to it.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from turnlog_cli.compose import document_of, merged
from turnlog_eventstore import Store
from turnlog_ingest.app import create_app as create_writes
from turnlog_ingest.writes import Writes
from turnlog_query.app import create_app as create_reads
from turnlog_query.deps import QueryDeps
from turnlog_query.hub import LiveHub
from turnlog_query.logs import Hubs

METHODS = ("get", "post", "put", "delete", "head")
TITLE = "# The HTTP API"
PREAMBLE = """\
Made from the OpenAPI document (`turnlog openapi --markdown`), which every running Turnlog serves at `/openapi.json`.
What errors mean stands in [errors.md](errors.md), who may call what in [access.md](access.md)."""
Json = Mapping[str, Any]


async def document() -> dict[str, Any]:
    """The merged OpenAPI document of the write and the read API. Nothing is started: the apps only describe
    themselves."""
    nothing = cast("Store", None)

    def no_hub(log: str) -> LiveHub:
        raise AssertionError(log)

    writes = create_writes(cast("Writes", None), 8 * 1024 * 1024, 16 * 1024 * 1024)
    reads = create_reads(QueryDeps(nothing, None, Hubs(no_hub)))
    return merged(await document_of(writes), await document_of(reads))


def reference(api: Json) -> str:
    """The document as Markdown: a table of all calls, then each with its parameters, body, answers and an example."""
    calls = [
        (path, method, item[method])
        for path, item in sorted(api["paths"].items(), key=lambda entry: _order(entry[0]))
        for method in METHODS
        if method in item
    ]
    lines = [TITLE, "", PREAMBLE, "", "| call | what it does |", "| --- | --- |"]
    lines += [f"| [`{m.upper()} {path}`](#{_anchor(m, path)}) | {call['summary']} |" for path, m, call in calls]
    for path, method, call in calls:
        lines += ["", *_call(path, method, call, api)]
    return "\n".join(lines) + "\n"


def _order(path: str) -> tuple[int, str]:
    """Sessions first, the prototype's tools last."""
    return next(n for n, start in enumerate(("/v1/sessions", "/v1/t", "/v1", "")) if path.startswith(start)), path


def _anchor(method: str, path: str) -> str:
    kept = "".join(c for c in f"{method} {path}".lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


def _call(path: str, method: str, call: Json, api: Json) -> Iterator[str]:
    yield from (f"## {method.upper()} {path}", "", _one_line(call["summary"]) + ".")
    if call.get("description"):
        yield from ("", _one_line(call["description"]))
    parameters = [_resolved(p, api) for p in call.get("parameters", ())]
    if parameters:
        yield from ("", "| parameter | in | type | meaning |", "| --- | --- | --- | --- |")
        for p in parameters:
            name = f"`{p['name']}`" + (" (required)" if p.get("required") and p["in"] != "path" else "")
            yield f"| {name} | {p['in']} | {_type(p.get('schema', {}), api)} | {_cell(p.get('description', ''))} |"
    if "requestBody" in call:
        yield from _body(_resolved(call["requestBody"], api), api)
    yield from ("", "| status | meaning |", "| --- | --- |")
    answers = {status: _resolved(answer, api) for status, answer in sorted(call["responses"].items())}
    for status, answer in answers.items():
        yield f"| {status} | {_cell(answer.get('description', ''))} |"
    for status, answer in answers.items():
        if status.startswith("2"):
            yield from _example(answer, "Answer")


def _body(body: Json, api: Json) -> Iterator[str]:
    for media, content in body["content"].items():
        yield from ("", f"Body: `{media}`")
        shape = _resolved(content.get("schema", {}), api)
        shape = _resolved(shape["oneOf"][0], api) if "oneOf" in shape else shape
        if "properties" in shape:
            yield from ("", "| field | type | meaning |", "| --- | --- | --- |")
            needed = shape.get("required", ())
            for name, field in shape["properties"].items():
                told = f"`{name}`" + (" (required)" if name in needed else "")
                yield f"| {told} | {_type(field, api)} | {_cell(_resolved(field, api).get('description', ''))} |"
    yield from _example(body, "Example")


def _example(answer: Json, title: str) -> Iterator[str]:
    for media, content in answer.get("content", {}).items():
        examples = [e.get("value") for e in content.get("examples", {}).values()]
        example = content.get("example", examples[0] if examples else None)
        if example is None:
            continue
        text = example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
        yield from ("", f"{title} (`{media}`):", "", "```" + ("json" if media.endswith("/json") else ""))
        yield from (*text.rstrip("\n").split("\n"), "```")


def _type(schema: Json, api: Json) -> str:
    """A schema in a few words."""
    schema = _resolved(schema, api)
    if options := schema.get("anyOf") or schema.get("oneOf"):
        told = [_type(option, api) for option in options if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(told))
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = str(schema.get("type", "any"))
    if kind == "array":
        kind = f"list of {_type(schema.get('items', {}), api)}"
    least, most = schema.get("minimum", schema.get("minLength")), schema.get("maximum", schema.get("maxLength"))
    if least is not None and most is not None:
        kind += f" {least} to {most}"
    elif least is not None or most is not None:
        kind += f" ≥ {least}" if most is None else f" ≤ {most}"
    return kind + (f", default `{schema['default']}`" if schema.get("default") not in (None, "") else "")


def _resolved(part: Json, api: Json) -> Json:
    """What a `$ref` names; anything else as it is."""
    if "$ref" not in part:
        return part
    found: Any = api
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return cast("Json", found)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _one_line(text).replace("|", "\\|")
