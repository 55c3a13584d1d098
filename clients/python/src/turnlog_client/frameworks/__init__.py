"""Adapters: what agent frameworks ask of a store, kept in Turnlog. Each needs its extra (`turnlog[pydantic-ai]`, …)
and is imported by name; importing `turnlog_client` imports none of them.

Every adapter maps alike. A turn's `role` and `content` are what a person or another agent reads, so that contexts and
summaries work on them; the framework's own object stands beside it under `metadata.<framework>` (`items.py`). What an
adapter decides is written once, as steps that a `Client` or an `AsyncClient` takes (`turnlog_client.steps`); the steps
that read and change a session are in `history.py`.
"""
