"""Every fault that can be made, one or more for each row of the table of promises but the promoted standby."""

from faults import inject_machine, inject_nats, inject_postgres, inject_process, inject_valkey, inject_wire
from faults.inject_fault import Fault

FAULTS: tuple[Fault, ...] = (
    *inject_postgres.FAULTS,
    *inject_nats.FAULTS,
    *inject_valkey.FAULTS,
    *inject_wire.FAULTS,
    *inject_machine.FAULTS,
    *inject_process.FAULTS,
)

__all__ = ["FAULTS", "Fault"]
