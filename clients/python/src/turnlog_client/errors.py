"""What can go wrong in a call.

TurnlogError
├── ApiError                the server refused: the same call would be refused again
│   ├── AuthenticationError   401: no credential, or none that is valid
│   ├── PermissionDenied      403: the credential may not do this
│   ├── NotFound              404: there is no such session, task or log (of this tenant)
│   └── Conflict              409, 412: the session, or what stands under the id, is not as the call expects
└── Unavailable             no usable answer within the total deadline: the same call may be tried again
    └── RateLimited           429: too many calls until the deadline
"""


class TurnlogError(Exception):
    """Root of this library's errors."""


class ApiError(TurnlogError):
    """The server's answer to a call it refuses. `code` is for programs, `param` names the field if there is one,
    `request_id` finds the request in the server's logs."""

    def __init__(
        self, status: int, code: str, message: str, param: str | None = None, request_id: str | None = None
    ) -> None:
        named = f", request {request_id}" if request_id else ""
        super().__init__(f"{message} ({status} {code}{named})")
        self.status, self.code, self.message, self.param = status, code, message, param
        self.request_id = request_id


class AuthenticationError(ApiError):
    """401: give an `api_key`, or set TURNLOG_API_KEY; a given one is unknown, expired or revoked."""


class PermissionDenied(ApiError):
    """403: the credential lacks the scope."""


class NotFound(ApiError):
    """404: there is no such thing; another tenant's looks the same."""


class Conflict(ApiError):
    """409 and 412: read again, and decide anew."""


_BY_STATUS = {401: AuthenticationError, 403: PermissionDenied, 404: NotFound, 409: Conflict, 412: Conflict}


def api_error(
    status: int, code: str, message: str, param: str | None = None, request_id: str | None = None
) -> ApiError:
    """The error for a refusal of this status."""
    return _BY_STATUS.get(status, ApiError)(status, code, message, param, request_id)


class Unavailable(TurnlogError):
    """The server could not be reached, or asked to wait, until the deadline.

    `outcome_unknown` tells whether a write may have been stored all the same; sending it again with the same
    `turn_id` is safe. `retry_after_s` is what the server asked for, or None; `status` and `code` are those of its last
    answer, None where there was none.
    """

    def __init__(
        self,
        message: str,
        *,
        outcome_unknown: bool = False,
        retry_after_s: float | None = None,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.outcome_unknown, self.retry_after_s = outcome_unknown, retry_after_s
        self.status, self.code, self.request_id = status, code, request_id


class RateLimited(Unavailable):
    """429 until the deadline: nothing was done; try again after `retry_after_s`."""
