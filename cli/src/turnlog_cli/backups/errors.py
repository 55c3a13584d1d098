"""What is wrong with a backup, or with the place it is to be restored to.

CommandError
└── BackupError
    ├── NotABackup   some other file
    ├── TooNew       made by a newer release, or of a newer schema, than this one knows
    ├── Damaged      cut short, or changed since it was written
    └── NotEmpty     the database to restore into is in use: nothing was changed
"""

from turnlog_cli.errors import CommandError


class BackupError(CommandError):
    """A backup could not be made, read or restored; nothing was changed."""


class NotABackup(BackupError):
    """The file is something else."""


class TooNew(BackupError):
    """A newer release made it."""


class Damaged(BackupError):
    """The file is not what was once written."""


class NotEmpty(BackupError):
    """History is never overwritten, and nothing is restored under running services."""
