"""The error tree of the read models.

ViewsError
├── ViewsUnavailable    the server is away, slow or not ready: retryable; what was sent may or may not be done, and
│                       sending it again is harmless (every write compares the checkpoint first)
└── ViewsRefused        the server answered with an error: wrong configuration or a defect, not a passing fault
"""


class ViewsError(Exception):
    """Root of all errors of `turnlog_views`."""


class ViewsUnavailable(ViewsError):
    """The server is away, slow or not ready. Retrying is safe."""


class ViewsRefused(ViewsError):
    """The server answered a command with an error. `answer` is its text."""

    def __init__(self, answer: str) -> None:
        super().__init__(answer)
        self.answer = answer
