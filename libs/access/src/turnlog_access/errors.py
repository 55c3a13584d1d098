"""The error tree of access.

AccessError
├── Refused        the credential is not good: the same one will be refused again
└── Unknown        nobody can say just now whether it is good: try again
"""


class AccessError(Exception):
    """Root of all errors of `turnlog_access`."""


class Refused(AccessError):
    """A credential that is not taken; the message says why, and holds nothing of it."""


class Unknown(AccessError):
    """Whoever could tell (PostgreSQL for keys, the issuer for tokens) is away, or too many ask at once."""
