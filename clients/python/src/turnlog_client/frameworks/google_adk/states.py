"""The states of apps and users: a session each, whose newest turn holds the whole of it."""

from collections.abc import Mapping
from typing import Any

from turnlog_client.frameworks.google_adk.turns import Place, app_state_id, state_turn, stored_state, user_state_id
from turnlog_client.frameworks.history import History, changed, newest
from turnlog_client.steps import Steps

STATE_TURNS = 5
"""Turns looked at for the newest state."""


def state_in(session_id: str) -> Steps[dict[str, Any]]:
    """The state that a session of states holds now."""
    return stored_state((yield from newest(session_id, STATE_TURNS)))


def scopes_written(place: Place, parts: Mapping[str, Mapping[str, Any]]) -> Steps[None]:
    """Apply deltas to the states of the app and of the user."""
    if parts["app"]:
        yield from _state_changed(app_state_id(place.app_name), parts["app"])
    if parts["user"]:
        yield from _state_changed(user_state_id(place.app_name, place.user_id), parts["user"])


def _state_changed(session_id: str, delta: Mapping[str, Any]) -> Steps[None]:
    def decide(found: History) -> tuple[list[dict[str, Any]], None]:
        return [state_turn(stored_state(found), delta)], None

    yield from changed(session_id, decide, lambda name: newest(name, STATE_TURNS))
