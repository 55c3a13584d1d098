"""Checks of time: no call takes longer than its stated deadline allows. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from faults.check import Finding
from faults.record import Call

SLACK_S = 0.5
"""What a call may take beyond its deadline: the way there and back, and a scheduler under load."""


def late(calls: Sequence[Call], excused: Callable[[Call], float] = lambda _: 0.0) -> Iterator[Finding]:
    """No call takes longer than its deadline and the slack. `excused` says how many seconds of a call are not the
    system's: infinite for one at a replica that was killed or stopped meanwhile, else what this process itself lost."""
    for call in calls:
        over_s = call.took_s - call.allowed_s - SLACK_S
        if call.allowed_s and over_s > 0 and over_s > excused(call):
            yield Finding(
                "late", call.session, f"{over_s:.3f} s beyond {call.allowed_s:g} + {SLACK_S:g} s: {call.told()}"
            )


def longest(calls: Sequence[Call], excused: Callable[[Call], float] = lambda _: 0.0) -> Mapping[str, Call]:
    """The longest call of each kind that is not excused."""
    found: dict[str, Call] = {}
    waiting: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        waiting[call.kind].append(call)
    for kind, some in waiting.items():
        for call in sorted(some, key=lambda call: -call.took_s):
            if excused(call) < call.took_s:
                found[kind] = call
                break
    return found
