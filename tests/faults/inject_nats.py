"""Faults of NATS: writes and reads must not notice any of them."""

from faults.inject_fault import Fault
from faults.inject_servers import cut_often, half_open, killed, paused, refusing, restarted, restored_older, slow, wiped

AWAY = "NATS killed, paused, refusing, slow"
WIPED = "NATS wiped"

FAULTS = (
    Fault("nats-killed", AWAY, ("nats",), killed("nats")),
    Fault("nats-restarted", AWAY, ("nats",), restarted("nats"), hold_s=2),
    Fault("nats-paused", AWAY, ("nats",), paused("nats"), hold_s=8),
    Fault("nats-refusing", AWAY, ("nats",), refusing("nats")),
    Fault("nats-slow", AWAY, ("nats",), slow("nats", 0.05, 0.6), hold_s=6),
    Fault("nats-half-open", AWAY, ("nats",), half_open("nats"), hold_s=8),
    Fault("nats-cut", AWAY, ("nats",), cut_often("nats")),
    Fault("nats-wiped", WIPED, ("nats",), wiped("nats")),
    Fault("nats-restored-older", WIPED, ("nats",), restored_older("nats")),
)
