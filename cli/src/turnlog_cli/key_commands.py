"""The commands below `turnlog keys`: names, options and help."""

from typing import Annotated

import typer

from turnlog_cli.options import AsJson, DataDir, folder, screen, settings_of_all

keys = typer.Typer(name="keys", help="API keys of tenants.", no_args_is_help=True, rich_markup_mode=None)
SCOPES_HELP = "memory:write, memory:read, audit:read or admin; may be repeated (default: memory:write and memory:read)."


@keys.command("create")
def create(
    tenant: Annotated[str, typer.Option("--tenant", help="Whose key it is.", metavar="TENANT")] = "default",
    name: Annotated[str, typer.Option("--name", help="What it is for, for listings.", metavar="TEXT")] = "",
    scope: Annotated[list[str] | None, typer.Option("--scope", help=SCOPES_HELP, metavar="SCOPE")] = None,
    expires_days: Annotated[
        int | None, typer.Option("--expires-days", min=1, max=36_500, help="Days until it expires (default: never).")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key and print it, this once: only its hash is stored.

    Needs the schema's owner: `turnlog up` on this machine, or TURNLOG_DATABASE_OWNER_URL.
    """
    from turnlog_cli.key_ring import Wanted, create_key

    wanted = Wanted(tenant, name, tuple(scope or ("memory:write", "memory:read")), expires_days)
    create_key(settings_of_all(), folder(data_dir), wanted, screen(as_json))


@keys.command("list")
def list_(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's.", metavar="TENANT")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also revoked and expired ones.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """API keys: id, tenant, scopes, name, when they were made and last used (to about a minute)."""
    from turnlog_cli.key_ring import list_keys

    list_keys(settings_of_all(), folder(data_dir), tenant, screen(as_json), every=every)


@keys.command("revoke")
def revoke(
    key_id: Annotated[list[str], typer.Argument(help="The key's id, between its first two underscores.", metavar="ID")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Revoke API keys: every replica refuses them within five seconds, for ever."""
    from turnlog_cli.key_ring import revoke_keys

    revoke_keys(settings_of_all(), folder(data_dir), key_id, screen(as_json))
