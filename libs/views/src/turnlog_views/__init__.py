"""Read models in Redis or Valkey: how they are named, written and read.

`ViewReader` is for the query service, `ViewWriter` for the projector and the rebuild.
"""

from turnlog_views.answers import HeadView, SessionView, TurnsView
from turnlog_views.errors import ViewsError, ViewsRefused, ViewsUnavailable
from turnlog_views.identity import LogIdentity
from turnlog_views.projections import PROJECTIONS, SESSIONS, Projection, UnknownProjection, projection_named
from turnlog_views.pump import PumpSettings
from turnlog_views.reader import ReaderSettings, ViewReader
from turnlog_views.writer import ViewWriter, WriterSettings

__all__ = [
    "PROJECTIONS",
    "SESSIONS",
    "HeadView",
    "LogIdentity",
    "Projection",
    "PumpSettings",
    "ReaderSettings",
    "SessionView",
    "TurnsView",
    "UnknownProjection",
    "ViewReader",
    "ViewWriter",
    "ViewsError",
    "ViewsRefused",
    "ViewsUnavailable",
    "WriterSettings",
    "projection_named",
]
