"""What every OpenAPI document of ours says of credentials: how one is shown, and what a call without a good one gets.

Enters: a document as FastAPI makes it. Leaves: the same object, completed. Called by each service for its own.
"""

from typing import Any

from turnlog_runtime.problems import Problem

SCHEME = "credential"
_SCHEMES = {
    SCHEME: {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key (`tl_…`), or an access token of the configured issuer.",
    }
}
_ANSWERS = {
    "401": ("No good credential was shown.", Problem(401, "credential_missing", "send Authorization: Bearer …")),
    "403": ("The credential lacks the scope of this call.", Problem(403, "scope_missing", "this call needs a scope")),
}


def asks_for_credential(document: dict[str, Any]) -> dict[str, Any]:
    """Say so of every operation. Safe to repeat."""
    document.setdefault("components", {})["securitySchemes"] = _SCHEMES
    for item in document["paths"].values():
        for operation in item.values():
            operation["security"] = [{SCHEME: []}]
            for status, (description, example) in _ANSWERS.items():
                content = {"application/problem+json": {"example": example.body()}}
                operation["responses"].setdefault(status, {"description": description, "content": content})
    return document
