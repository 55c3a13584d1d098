"""What `turnlog doctor` looks at, and what it makes of it.

`look_at_*` ask one server each and know no judgement; `judge_*` turn what was seen into findings and do no I/O.
"""
