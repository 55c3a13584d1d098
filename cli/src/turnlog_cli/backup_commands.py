"""`turnlog backup` and `turnlog restore`: names, options and help."""

from pathlib import Path
from typing import Annotated

import typer

from turnlog_cli.options import AsJson, DataDir, folder, screen, settings_of_all


def backup(
    file: Annotated[str, typer.Argument(help="The file to write, private to you; - is standard output.")],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing: prove that file, every hash and chain. Needs no server.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write everything PostgreSQL holds of Turnlog to one file, as of one moment, while writes go on.

    Holds every conversation in the clear, and of API keys only hashes. NATS and Redis hold copies: they need none.
    With --check ends with 1 when the history in the file is not what its hashes say, and with 2 when the file is
    damaged.
    """
    if check:
        from turnlog_cli.backing_up import check_backup

        raise typer.Exit(check_backup(Path(file), screen(as_json)))
    from turnlog_cli.backing_up import back_up

    back_up(settings_of_all(), folder(data_dir), file, screen(as_json), force=force)


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `turnlog backup` wrote.")],
    keep_incarnation: Annotated[
        bool,
        typer.Option(
            "--keep-incarnation",
            help="Go on with the streams and read models of the database before: for a move without loss.",
        ),
    ] = False,
    as_it_is: Annotated[
        bool, typer.Option("--as-it-is", help="Also a history that is not what its own hashes say.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an empty database: all of it or nothing. Never overwrites history.

    Into the database at TURNLOG_DATABASE_OWNER_URL or DATABASE_URL, else into a data folder in which nothing runs.
    Proves the file first. Afterwards start the services; the read models are built anew.
    """
    from turnlog_cli.putting_back import put_back

    put_back(
        settings_of_all(),
        folder(data_dir),
        file,
        screen(as_json),
        keep_incarnation=keep_incarnation,
        as_it_is=as_it_is,
    )
