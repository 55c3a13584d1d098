"""What a missing framework is told as."""


def missing(extra: str, error: ImportError) -> ImportError:
    """The error to raise from `error`, naming the extra of this package to install."""
    return ImportError(f"{error.name or extra} is not installed: pip install 'turnlog[{extra}]'", name=error.name)
