"""The SQL of a migration: files `sql/<revision>_<nn>_<what>.sql`, one statement each, in the order of their numbers."""

from importlib.resources import files


def statements(revision: str) -> list[str]:
    """The statements of `revision` in order. Colons are escaped, as SQLAlchemy would take them for parameters."""
    folder = files("turnlog_migrations").joinpath("sql")
    names = sorted(f.name for f in folder.iterdir() if f.name.startswith(f"{revision}_") and f.name.endswith(".sql"))
    if not names:
        raise FileNotFoundError(f"no statements for revision {revision}")
    return [folder.joinpath(name).read_text().replace(":", r"\:") for name in names]
