"""Backups: one file with every row of PostgreSQL as of one moment, which proves itself without a server.

`format.py` says what is in the file, `writing.py` and `reading.py` make and take it apart, `rows.py` reads PostgreSQL's
binary COPY, `proving.py` recomputes hashes and chains. `taking.py` and `restoring.py` are the two commands' work on a
server, `database.py` finds or starts it.
"""
