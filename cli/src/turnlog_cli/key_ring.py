"""`turnlog keys`: API keys made, listed and revoked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.text import Text

from turnlog_access.key_format import MintedKey, mint
from turnlog_cli.errors import CommandError
from turnlog_cli.escape import one_line
from turnlog_cli.owner import as_owner
from turnlog_cli.screen import Screen, marked
from turnlog_events.ids import is_id
from turnlog_eventstore import Administration
from turnlog_eventstore.administration import KeyRow, NewKey
from turnlog_runtime.principal import SCOPES
from turnlog_runtime.settings import SharedSettings

NAME_MAX_CHARS = 200
SHORT_ID_CHARS = 12


@dataclass(frozen=True)
class Wanted:
    """A key to be made. Raises `CommandError` for what no key can have."""

    tenant: str
    name: str
    scopes: tuple[str, ...]
    expires_days: int | None = None

    def __post_init__(self) -> None:
        if not is_id(self.tenant):
            raise CommandError(f"{self.tenant!r} is no tenant: 1 to 200 characters of A-Z a-z 0-9 . _ : @ + - #")
        if unknown := set(self.scopes) - SCOPES:
            raise CommandError(f"{min(unknown)!r} is no scope: there are {', '.join(sorted(SCOPES))}")
        if len(self.name) > NAME_MAX_CHARS or "\x00" in self.name:
            raise CommandError(f"a name has at most {NAME_MAX_CHARS} characters, and no NUL")


async def make_key(owner: Administration, wanted: Wanted, now: datetime) -> MintedKey:
    """Mint a key and store its hash. Raises `StoreError`."""
    minted = mint()
    expires_at = now + timedelta(days=wanted.expires_days) if wanted.expires_days is not None else None
    scopes = tuple(sorted(set(wanted.scopes)))
    await owner.create_key(NewKey(minted.key_id, wanted.tenant, minted.sha256, scopes, wanted.name, expires_at))
    return minted


def create_key(settings: SharedSettings, data_dir: Path, wanted: Wanted, screen: Screen) -> None:
    """Make a key and print it."""
    minted = as_owner(settings, data_dir, lambda owner: make_key(owner, wanted, datetime.now(UTC)))
    scopes = sorted(set(wanted.scopes))
    screen.fact({"id": minted.key_id, "key": minted.credential, "tenant": wanted.tenant, "scopes": scopes})
    screen.verbatim(minted.credential)
    screen.say(marked("✓", "green", f"a key of tenant {wanted.tenant}: {', '.join(scopes)}"))
    screen.say("  it is shown this once: only its hash is stored")
    screen.say(f"  send it as `Authorization: Bearer …`; turnlog keys revoke {minted.key_id} ends it")


def list_keys(settings: SharedSettings, data_dir: Path, tenant: str | None, screen: Screen, *, every: bool) -> None:
    """Every key that is live, or every one."""
    now = datetime.now(UTC)
    found = as_owner(settings, data_dir, lambda owner: owner.keys(tenant))
    rows = [row for row in found if every or row.state(now) == "live"]
    for row in rows:
        screen.fact(_fields(row, now))
        screen.say(_line(row, now))
    hidden = len(found) - len(rows)
    if not rows:
        screen.say("there is no live API key; turnlog keys create makes one")
    if hidden:
        screen.say(f"{hidden:,} revoked or expired: --all lists them too")


def revoke_keys(settings: SharedSettings, data_dir: Path, given: Sequence[str], screen: Screen) -> None:
    """Revoke keys. Raises `CommandError` naming those there are not; all others are revoked."""
    ids = {_id_of(text): text for text in given}

    async def revoke(owner: Administration) -> dict[str, str | None]:
        return {key_id: await owner.revoke_key(key_id) for key_id in ids}

    missing = []
    for key_id, tenant in as_owner(settings, data_dir, revoke).items():
        if tenant is None:
            missing.append(key_id)
            continue
        screen.fact({"id": key_id, "tenant": tenant, "revoked": True})
        screen.say(marked("✓", "green", f"key {key_id} of tenant {tenant} is revoked; replicas refuse it within 5 s"))
    if missing:
        raise CommandError(f"there is no API key {', '.join(missing)}: turnlog keys list --all names those there are")


def _id_of(text: str) -> str:
    """The id; of a whole key that was pasted, its id alone, so that its secret goes no further."""
    return text.split("_")[1][:SHORT_ID_CHARS] if text.startswith("tl_") and text.count("_") == 2 else text


def _fields(row: KeyRow, now: datetime) -> dict[str, object]:
    return {
        "id": row.key_id,
        "tenant": row.tenant,
        "scopes": list(row.scopes),
        "name": row.name,
        "state": row.state(now),
        "created_at": row.created_at.isoformat(),
        "expires_at": _iso(row.expires_at),
        "revoked_at": _iso(row.revoked_at),
        "last_used_at": _iso(row.last_used_at),
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


def _line(row: KeyRow, now: datetime) -> Text:
    state = row.state(now)
    used = f"last used {row.last_used_at:%Y-%m-%d %H:%M}" if row.last_used_at else "never used"
    end = f", expires {row.expires_at:%Y-%m-%d}" if row.expires_at and state == "live" else ""
    mark, style = ("✓", "green") if state == "live" else ("✗", "red")
    more = "" if state == "live" else f" ({state})"
    name = f" “{one_line(row.name)}”" if row.name else ""
    text = (
        f"{row.key_id}  {row.tenant}{name}  {' '.join(row.scopes)}  made {row.created_at:%Y-%m-%d}, {used}{end}{more}"
    )
    return marked(mark, style, text)
