"""What an error of the API becomes for a model: a sentence that says what was wrong and what to do. Pure."""

from pydantic import ValidationError

from turnlog_client import ApiError, TurnlogError, Unavailable

_FIELDS = {"content": "message"}
"""Fields of the API that a tool calls otherwise."""
_NEXT_STEPS = {
    "session_not_found": "list_sessions names the sessions there are; store_memory begins one",
    "version_not_reached": "leave min_version out, or use the version that store_memory returned for this session",
    "scope_missing": "the credential that this MCP client was set up with does not allow it",
    "invalid_cursor": "call again without cursor",
}
_SAYS_OTHERWISE = {
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "literal_error": "must be one of {expected}",
    "extra_forbidden": "is not an argument of this tool; leave it out",
    "missing": "is required",
    "string_pattern_mismatch": "must be 1 to 200 characters of A-Z a-z 0-9 . _ : @ + - #",
    "string_unicode": "holds half a surrogate pair; send well-formed Unicode",
}


def told_api(error: ApiError) -> str:
    """A refusal of the API."""
    message = error.message
    if error.param in _FIELDS and message.startswith(f"{error.param}:"):
        message = _FIELDS[error.param] + message[len(error.param) :]
    step = _NEXT_STEPS.get(error.code)
    if error.status == 401:
        step = "set up this MCP client with a valid API key or token"
    return f"{message} ({error.code})" + (f". Next: {step}." if step else "")


def told_unavailable(error: Unavailable, turn_id: str | None) -> str:
    """No answer in time; `turn_id` is that of the turn that was to be stored, None for a read."""
    wait = f" in {error.retry_after_s:g} s" if error.retry_after_s else ""
    if turn_id is None:
        return f"Turnlog does not answer now; call again{wait}."
    known = "whether the turn is stored is unknown" if error.outcome_unknown else "nothing was stored"
    return f'Turnlog does not answer now; {known}. Call again{wait} with turn_id "{turn_id}": it is stored once.'


def told(error: TurnlogError, turn_id: str | None = None) -> str:
    """Any error of the client."""
    if isinstance(error, ApiError):
        return told_api(error)
    if isinstance(error, Unavailable):
        return told_unavailable(error, turn_id)
    return "the address that this MCP server calls does not answer as Turnlog does; tell its operator"


def told_arguments(error: ValidationError) -> str:
    """Arguments that the tool does not take: each field with what to send instead."""
    return "; ".join(dict.fromkeys(_told_field(found) for found in error.errors(include_url=False)[:5]))


def _told_field(found: object) -> str:
    assert isinstance(found, dict)
    field = ".".join(str(part) for part in found["loc"] if not str(part).startswith("function-"))
    pattern = _SAYS_OTHERWISE.get(found["type"])
    if found["type"] == "value_error":
        return str(found["ctx"]["error"])
    said = pattern.format(**found.get("ctx", {})) if pattern else found["msg"].removeprefix("Input ")
    return f"{field}: {said}"
