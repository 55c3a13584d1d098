"""The `turnlog` command: up, demo, migrate, import, export, tail, rebuild, verify, doctor.

`main.py` names the commands; each lives in a module of its own. `stack.py` is what `up` and `demo` run.
"""
