"""What the FastAPI apps of all services have in common: how they refuse what matches no route or has wrong parameters.

Plain data in, `Problem`s out, so that nothing here needs FastAPI.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from pydantic import BeforeValidator

from turnlog_runtime.asgi import App, Receive, Scope, Send
from turnlog_runtime.problems import Problem, method_not_allowed, route_not_found

_INTEGER = re.compile("-?[0-9]+")
PARAMETER_CODES: Mapping[str, str] = {
    "extra_forbidden": "unknown_parameter",
    "missing": "missing_parameter",
    "greater_than_equal": "out_of_range",
    "less_than_equal": "out_of_range",
    "int_parsing": "invalid_integer",
    "int_parsing_size": "out_of_range",
    "int_from_float": "invalid_integer",
    "literal_error": "unknown_value",
}


def _digits(value: Any) -> Any:
    """What Python alone takes for an integer (`1_0`, ` 1`, `1.0`) is made none, for pydantic to refuse."""
    return "none" if isinstance(value, str) and _INTEGER.fullmatch(value) is None else value


DIGITS = BeforeValidator(_digits)
"""Of an integer that is a query parameter; last in its annotation, so that the document shows its bounds."""


def invalid_parameters(errors: Sequence[Any]) -> Problem:
    """422 that names the first wrong parameter, from pydantic's list of errors."""
    error = errors[0]
    param = ".".join(str(part) for part in error["loc"][1:]) or None
    code = PARAMETER_CODES.get(error["type"], "invalid_parameter")
    said = str(error["msg"])
    said = "is not a parameter of this call" if code == "unknown_parameter" else said[:1].lower() + said[1:]
    return Problem(422, code, f"{param}: {said}" if param else said, param)


def check_known(query: bytes, known: Iterable[str]) -> None:
    """Raise `Problem` 422 for a query parameter that is not `known`."""
    for name in names_of(query):
        if name not in known:
            raise Problem(422, "unknown_parameter", f"{name}: is not a parameter of this call", name)


def names_of(query: bytes) -> list[str]:
    """The names of a query string's parameters, as often as they stand there."""
    return [name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)]


class Paths:
    """Which methods each path of an API takes, from its OpenAPI paths: `{"/v1/tasks/{task_id}": {"get": …}}`."""

    def __init__(self, paths: Mapping[str, Mapping[str, Any]]) -> None:
        self._known = [
            (re.compile("/".join(map(_part, path.split("/")))), frozenset(method.upper() for method in item))
            for path, item in paths.items()
        ]

    def methods(self, path: str) -> frozenset[str]:
        """The methods of a path (encoded, as on the wire); empty for one that no call has."""
        return frozenset(
            method for pattern, methods in self._known if pattern.fullmatch(path) is not None for method in methods
        )

    def refusal(self, path: str) -> Problem:
        """404, or 405 with the methods that the path takes."""
        methods = self.methods(path)
        return method_not_allowed(", ".join(sorted(methods))) if methods else route_not_found()


def _part(part: str) -> str:
    return "[^/]+" if part.startswith("{") else re.escape(part)


def unambiguous(app: App) -> App:
    """The app, refusing what its framework would decide on silently: a query parameter that stands twice, and an id
    that holds a slash (the decoded path has lost the difference between that and one between parts of the path)."""

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if b"%2f" in (scope.get("raw_path") or b"").lower():
                raise Problem(422, "invalid_id", "session_id: must not hold a slash", "session_id")
            if b"&" in scope["query_string"]:
                names = names_of(scope["query_string"])
                twice = next((name for name in names if names.count(name) > 1), None)
                if twice is not None:
                    raise Problem(422, "parameter_twice", f"{twice}: send it once", twice)
        await app(scope, receive, send)

    return checked
