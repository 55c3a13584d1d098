"""Marks of fields of the settings classes, for what their names and types do not say: unit, range, kind of address.

Used as `Annotated[int, Unit("calls")]`. Read by `setting_facts` (pages, messages) and `settings_given` (addresses).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unit:
    """What the number counts, where the name's ending does not tell."""

    name: str


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be given, as the end of a sentence that begins with "must be"."""

    words: str


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a server, by the schemes it may begin with, the usual one first."""

    schemes: tuple[str, ...]


POSTGRES = Address(("postgresql", "postgres"))
NATS = Address(("nats", "tls"))
REDIS = Address(("redis", "rediss", "unix"))
HTTP = Address(("https", "http"))
