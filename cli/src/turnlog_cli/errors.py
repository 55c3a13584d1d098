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


_SEE_DOCTOR = "`turnlog doctor` says what is reachable"
ADVICE = {
    "turnlog_runtime.setting_problems.SettingsError": "",
    "turnlog_embedded.errors.EmbeddedError": "",
    "turnlog_migrations.SchemaTooNew": "",
    "turnlog_migrations.SchemaBusy": "",
    "turnlog_client.errors.Unavailable": f"is `turnlog up` running? {_SEE_DOCTOR}",
    "turnlog_client.errors.TurnlogError": "",
    "turnlog_projector.applier.OutOfStep": "nothing was switched; run the command again",
    "turnlog_projector.rebuild.NothingKept": "",
    "turnlog_views.projections.UnknownProjection": "",
    "turnlog_eventstore.errors.NotAllowed": "",
    "turnlog_eventstore.errors.UnknownLog": "`turnlog logs list` names those there are",
    "turnlog_eventstore.errors.StoreError": _SEE_DOCTOR,
    "turnlog_views.errors.ViewsError": _SEE_DOCTOR,
    "turnlog_bus.errors.BusError": _SEE_DOCTOR,
}
"""What to do about each library's errors beyond what they say themselves; the nearest class counts. By name, because
importing the drivers of three servers just to refuse a wrong option would take longer than everything else."""

_BY_STATUS = {
    401: "set TURNLOG_API_KEY to a key of this server; whoever runs it makes one with `turnlog keys create`",
    403: "set TURNLOG_API_KEY to a key that may do this; `turnlog keys create --scope …` makes one",
}
"""What to do about an API that refuses a credential."""


def told(error: BaseException) -> CommandError | None:
    """An error of one of our libraries as the end of a command; None for a defect."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = [told(inner) for inner in error.exceptions]
        return found[0] if all(found) else None
    for kind in type(error).__mro__:
        advice = ADVICE.get(f"{kind.__module__}.{kind.__qualname__}")
        if advice is not None:
            advice = _BY_STATUS.get(getattr(error, "status", 0), advice)
            return CommandError(f"{error}\n{advice}" if advice else str(error))
    return None
