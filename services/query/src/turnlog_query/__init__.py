"""HTTP read API: recent turns, head, summary, context, live events, tasks, and the history for auditors."""

from turnlog_query.app import create_app
from turnlog_query.background import background
from turnlog_query.deps import QueryDeps
from turnlog_query.errors import problem_for
from turnlog_query.hub import LiveHub
from turnlog_query.limits import Limits
from turnlog_query.logs import Hubs

__all__ = ["Hubs", "Limits", "LiveHub", "QueryDeps", "background", "create_app", "problem_for"]
