"""What can go wrong in a call.

TurnlogError
├── ApiError      the server refused: the same call would be refused again
└── Unavailable   no usable answer within the total deadline: the same call may be tried again
"""


class TurnlogError(Exception):
    """Root of this library's errors."""


class ApiError(TurnlogError):
    """The server's answer to a call it refuses. `code` is for programs, `param` names the field if there is one."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        super().__init__(f"{message} ({status} {code})")
        self.status, self.code, self.message, self.param = status, code, message, param


class Unavailable(TurnlogError):
    """The server could not be reached, or asked to wait, until the deadline.

    `outcome_unknown` tells whether a write may have been stored all the same; sending it again with the same
    `turn_id` is safe. `retry_after_s` is what the server asked for, or None.
    """

    def __init__(self, message: str, *, outcome_unknown: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.outcome_unknown, self.retry_after_s = outcome_unknown, retry_after_s
