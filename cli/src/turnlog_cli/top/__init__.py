"""`turnlog top`: what a running Turnlog does, live.

    fetching.py, servers.py  →  scrape.py: text → Snapshot  →  change.py: two snapshots → rates  →  viewing.py → View
                             →  shown.py: View → lines  →  app.py (a terminal) or command.py (once, JSON)

Everything between the two ends is pure.
"""
