"""What ends a command, and how every library's errors are told: in words that say what to do.

Exit statuses: 0 done; 1 done, and the answer is no (lines refused, differences found); 2 not done; 130 stopped by
Ctrl-C.
"""

NOT_DONE = 2


class CommandError(Exception):
    """Ends the command with a message and an exit status."""

    def __init__(self, message: str, status: int = NOT_DONE) -> None:
        super().__init__(message)
        self.status = status


def told(error: BaseException) -> CommandError | None:
    """An error of one of our libraries as the end of a command; None for a defect."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = [told(inner) for inner in error.exceptions]
        return found[0] if all(found) else None
    # Imported here: `turnlog --help` should not wait for the drivers of three servers.
    from turnlog_bus import BusError
    from turnlog_client import ApiError, TurnlogError, Unavailable
    from turnlog_embedded import EmbeddedError
    from turnlog_eventstore import StoreError
    from turnlog_migrations import SchemaTooNew
    from turnlog_projector.applier import OutOfStep
    from turnlog_runtime.settings import SettingsError
    from turnlog_views import ViewsError

    advice: list[tuple[type[Exception], str]] = [
        (SettingsError, ""),
        (EmbeddedError, ""),
        (SchemaTooNew, ""),
        (ApiError, ""),
        (Unavailable, "is `turnlog up` running? `turnlog doctor` says what is reachable"),
        (TurnlogError, ""),
        (OutOfStep, "nothing was switched; run the command again"),
        (StoreError, "`turnlog doctor` says what is reachable"),
        (ViewsError, "`turnlog doctor` says what is reachable"),
        (BusError, "`turnlog doctor` says what is reachable"),
    ]
    for kind, hint in advice:
        if isinstance(error, kind):
            return CommandError(f"{error}\n{hint}" if hint else str(error))
    return None
