"""Where a running Turnlog is: `up` writes it into its data folder, the other commands read it there.

The file holds NATS' password and an API key for commands on this machine, so it is private (0600), and it is removed
when `up` ends. After a SIGKILL it stays: readers check that its process lives.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import SecretStr

from turnlog_cli.errors import CommandError
from turnlog_runtime.setting_problems import SettingsError
from turnlog_runtime.settings import SharedSettings
from turnlog_runtime.settings_given import value_in

URL_VARIABLE, KEY_VARIABLE, KEY_FILE_VARIABLE = "TURNLOG_URL", "TURNLOG_API_KEY", "TURNLOG_API_KEY_FILE"


@dataclass(frozen=True)
class Addresses:
    """Addresses of the servers and of the API; `pid` is the process that `up` runs in, `api_key` what commands on this
    machine show to its API ("": it asks for none)."""

    pid: int
    url: str
    database_url: str
    database_owner_url: str
    nats_url: str
    redis_url: str
    api_key: str = field(default="", repr=False)


@dataclass(frozen=True)
class Api:
    """Where the API is, and the credential to show there; None where there is none."""

    url: str
    key: str | None = field(default=None, repr=False)


def path_in(data_dir: Path) -> Path:
    """The file's place."""
    return data_dir / "run" / "addresses.json"


def write(data_dir: Path, addresses: Addresses) -> Path:
    """Write the file, whole or not at all."""
    path = path_in(data_dir)
    side = path.with_suffix(".new")
    side.unlink(missing_ok=True)
    fd = os.open(side, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        json.dump(asdict(addresses), file)
    side.replace(path)
    return path


def running_in(data_dir: Path) -> Addresses | None:
    """The addresses of what runs in a data folder; None when nothing does."""
    found = left_in(data_dir)
    if found is None:
        return None
    try:
        os.kill(found.pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return found  # the process lives, and belongs to another user
    return found


def left_in(data_dir: Path) -> Addresses | None:
    """What the last `up` wrote down, whether it runs or was killed; None when it left nothing."""
    try:
        return Addresses(**json.loads(path_in(data_dir).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
    except PermissionError as error:
        raise CommandError(f"{error.filename} cannot be read: run this as the user who started `turnlog up`") from None


def api(url: str | None, data_dir: Path) -> Api:
    """The API and what to show it. Its address: as given, from TURNLOG_URL, or of what runs in the data folder. The
    credential: from TURNLOG_API_KEY or the file that TURNLOG_API_KEY_FILE names, else the key of what runs there, which
    is shown to that alone. Raises `CommandError` or `SettingsError`."""
    found = running_in(data_dir)
    given = url or os.environ.get(URL_VARIABLE)
    if given and not given.startswith(("http://", "https://")):
        raise CommandError(f"{given} is no address of an API: give one like http://127.0.0.1:8080")
    if not given and found is None:
        raise CommandError(
            f"nothing runs in the data folder {data_dir}: start `turnlog up`, name its folder with --data-dir, "
            "or the API's address with --url"
        )
    address = given.rstrip("/") if given else found.url if found is not None else ""
    own = found.api_key if found is not None and address == found.url else ""
    return Api(address, key_in(os.environ) or own or None)


def key_in(environment: Mapping[str, str]) -> str:
    """The credential to show to the API, empty for none. Raises `SettingsError`."""
    key, file = environment.get(KEY_VARIABLE, ""), environment.get(KEY_FILE_VARIABLE)
    if file is None:
        return key
    if key:
        raise SettingsError(f"{KEY_VARIABLE} and {KEY_FILE_VARIABLE} are both set: unset one of them")
    try:
        return value_in(KEY_FILE_VARIABLE, file)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def owner_url(settings: SharedSettings, data_dir: Path) -> str:
    """PostgreSQL as the schema's owner: from the settings, else of what runs in the data folder. Raises
    `CommandError`."""
    for given in (settings.database_owner_url, settings.database_url):
        if given is not None and given.get_secret_value():
            return given.get_secret_value()
    found = running_in(data_dir)
    if found is None:
        raise CommandError(
            f"there is no database: nothing runs in the data folder {data_dir}; set DATABASE_URL (or "
            "TURNLOG_DATABASE_OWNER_URL, as the schema's owner), name the folder with --data-dir, or start `turnlog "
            "up`, which migrates an embedded one by itself"
        )
    return found.database_owner_url


def nats_url(settings: SharedSettings, data_dir: Path) -> str:
    """NATS: from the settings, else of what runs in the data folder; empty when neither knows."""
    if settings.nats_url is not None and settings.nats_url.get_secret_value():
        return settings.nats_url.get_secret_value()
    found = running_in(data_dir)
    return found.nats_url if found is not None else ""


def servers(settings: SharedSettings, data_dir: Path) -> Addresses:
    """The servers' addresses: each from its setting, else of what runs in the data folder. Raises `CommandError`."""
    found = running_in(data_dir)

    def address(setting: SecretStr | None, own: str | None, name: str) -> str:
        if setting is not None and setting.get_secret_value():
            return setting.get_secret_value()
        if own is None:
            raise CommandError(
                f"{name} is not set, and nothing runs in the data folder {data_dir}: start `turnlog up`, name its "
                f"folder with --data-dir, or set {name}"
            )
        return own

    database_url = address(settings.database_url, found.database_url if found else None, "DATABASE_URL")
    owner_url = settings.database_owner_url.get_secret_value() if settings.database_owner_url else ""
    own_owner = found.database_owner_url if found is not None and settings.database_url is None else ""
    return Addresses(
        pid=found.pid if found is not None else 0,
        url=found.url if found is not None else os.environ.get(URL_VARIABLE, ""),
        database_url=database_url,
        database_owner_url=owner_url or own_owner or database_url,
        nats_url=address(settings.nats_url, found.nats_url if found else None, "NATS_URL"),
        redis_url=address(settings.redis_url, found.redis_url if found else None, "REDIS_URL"),
    )
