"""The commands below `turnlog logs` and `turnlog tenants`: names, options and help."""

from typing import Annotated

import typer

from turnlog_cli.options import AsJson, DataDir, folder, screen, settings_of_all

logs = typer.Typer(name="logs", help="The logs of this deployment.", no_args_is_help=True, rich_markup_mode=None)
tenants = typer.Typer(
    name="tenants",
    help="Tenants: their logs, and how many API keys they have.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Name = Annotated[str, typer.Argument(help="The log's name: 1 to 32 of a-z 0-9 -.", metavar="LOG")]


@logs.command("create")
def create(log: Name, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Create an empty log: one more writer, for tenants that are then assigned to it."""
    from turnlog_cli.administering import create_log

    create_log(settings_of_all(), folder(data_dir), log, screen(as_json))


@logs.command("list")
def list_(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Every log: position, tenants, incarnation, where its stream ends, and whether its writes are refused."""
    from turnlog_cli.administering import list_logs

    list_logs(settings_of_all(), folder(data_dir), screen(as_json))


@logs.command("accept")
def accept(
    log: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, say what it means.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Accept what PostgreSQL holds of a log as the truth, after a restore lost its end and writes are refused."""
    from turnlog_cli.administering import accept_log

    accept_log(settings_of_all(), folder(data_dir), log, screen(as_json), sure=yes)


@tenants.command("assign")
def assign(
    tenant: Annotated[str, typer.Argument(help="The tenant, before its first write.", metavar="TENANT")],
    log: Name,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Assign a tenant to a log, before its first write: afterwards it lives there for ever.

    Do so only when every process of the deployment runs a release that knows several logs.
    """
    from turnlog_cli.administering import assign_tenant

    assign_tenant(settings_of_all(), folder(data_dir), tenant, log, screen(as_json))


@tenants.command("list")
def list_tenants(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Every tenant that is assigned to a log or has API keys; all others live in the default log."""
    from turnlog_cli.administering import list_tenants as run

    run(settings_of_all(), folder(data_dir), screen(as_json))
