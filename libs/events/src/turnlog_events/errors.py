"""The error tree of the event model.

EventError
├── InvalidField        a value breaks a limit of the model: names the field and the fix
├── UnknownEventType    no payload is known for a type name
├── UpcastMissing       an older schema version has no way up to the current one
└── Corrupt             stored bytes do not say what their hashes or columns say
"""


class EventError(Exception):
    """Root of all errors of `turnlog_events`."""


class InvalidField(EventError, ValueError):
    """A value breaks a limit of the model.

    `field` is the dotted path of the field (`turns.3.metadata`), `fix` says what to send instead.
    """

    def __init__(self, field: str, fix: str, code: str = "invalid_field") -> None:
        super().__init__(f"{field}: {fix}")
        self.field = field
        self.fix = fix
        self.code = code


class UnknownEventType(EventError):
    """No payload is known for this type name."""

    def __init__(self, type_name: str) -> None:
        super().__init__(f"unknown event type {type_name!r}")
        self.type_name = type_name


class UpcastMissing(EventError):
    """An older schema version has no way up to the current one."""

    def __init__(self, type_name: str, schema_version: int) -> None:
        super().__init__(f"{type_name} schema version {schema_version} cannot be read by this release")
        self.type_name = type_name
        self.schema_version = schema_version


class Corrupt(EventError):
    """Stored bytes do not say what their hashes or columns say. `what` names the mismatch."""

    def __init__(self, what: str, log: str, position: int) -> None:
        super().__init__(f"{log}:{position}: {what}")
        self.what = what
        self.log = log
        self.position = position
