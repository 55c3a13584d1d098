"""NATS JetStream as the log's bus: publish so that sequence is position, consume from any position."""

from turnlog_bus.bus import Bus, BusSettings
from turnlog_bus.carrier import Carrier
from turnlog_bus.consume import ConsumeSettings, consume
from turnlog_bus.errors import BusError, BusUnavailable, StreamMissing, WrongSequence
from turnlog_bus.subjects import StreamName

__all__ = [
    "Bus",
    "BusError",
    "BusSettings",
    "BusUnavailable",
    "Carrier",
    "ConsumeSettings",
    "StreamMissing",
    "StreamName",
    "WrongSequence",
    "consume",
]
