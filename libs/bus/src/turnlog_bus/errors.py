"""The error tree of the bus.

BusError
├── BusUnavailable    NATS refused, vanished or did not answer in time; try again
├── WrongSequence     the stream's last sequence is not the one expected: re-read and compare, never guess
└── StreamMissing     the stream does not exist (any more)
"""


class BusError(Exception):
    """Root of all errors of `turnlog_bus`."""


class BusUnavailable(BusError):
    """NATS refused, vanished or did not answer in time."""


class WrongSequence(BusError):
    """A publish expected another last sequence than the stream has: somebody else published, or a tail was lost."""


class StreamMissing(BusError):
    """The stream does not exist: never made, or lost with the server's data."""
