"""A LangGraph graph whose threads and long-term store live in Turnlog: it goes on where it was, after any restart.

    turnlog up                              # in another terminal
    python with_langgraph.py begin          # runs until the graph asks a human, and ends
    python with_langgraph.py answer yes     # later, from anywhere: the graph goes on with the answer

It runs offline: the nodes are plain functions; call your model in them. (A file called langgraph.py would hide the
library from Python.)
"""

import operator
import sys
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.store.base import BaseStore
from langgraph.types import Command, interrupt

from turnlog_client import Client
from turnlog_client.frameworks.langgraph import TurnlogSaver, TurnlogStore

USER = ("users", "ana")


class State(TypedDict):
    """What the graph carries from node to node."""

    notes: Annotated[list[str], operator.add]


def look_up(state: State, *, store: BaseStore) -> dict[str, Any]:
    """What is known of the user from earlier threads."""
    seat = store.get(USER, "seat")
    return {"notes": [f"likes: {seat.value['where'] if seat else 'nothing known'}"]}


def ask(state: State) -> dict[str, Any]:
    """Ends the run here; `Command(resume=…)` goes on with the answer."""
    return {"notes": [f"booked: {interrupt('Shall I book the flight?')}"]}


def build(client: Client) -> Any:
    """The graph, with its memory."""
    graph = StateGraph(State)
    graph.add_node(look_up)
    graph.add_node(ask)
    graph.add_edge(START, "look_up")
    graph.add_edge("look_up", "ask")
    graph.add_edge("ask", END)
    return graph.compile(checkpointer=TurnlogSaver(client), store=TurnlogStore(client))


def main(step: str = "both", answer: str = "yes", thread_id: str = "trip to Lisbon") -> None:
    """Begin the trip, answer the question, or both."""
    with Client() as client:  # TURNLOG_URL and TURNLOG_API_KEY, or this machine
        graph, config = build(client), {"configurable": {"thread_id": thread_id}}
        if step in ("begin", "both"):
            TurnlogStore(client).put(USER, "seat", {"where": "window"})
            asked = graph.invoke({"notes": ["trip to Lisbon"]}, config)
            print("the graph asks:", asked["__interrupt__"][0].value)
        if step in ("answer", "both"):
            print("the graph ends with:", graph.invoke(Command(resume=answer), config)["notes"])


if __name__ == "__main__":
    main(*sys.argv[1:])
