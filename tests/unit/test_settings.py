"""Settings from variables and files: what is taken, where it came from, and how every wrong one is told."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from turnlog_cli.addresses import key_in
from turnlog_cli.stack import child_environment
from turnlog_runtime.setting_addresses import HIDDEN, address_problem, without_password
from turnlog_runtime.setting_facts import takes_file, variables
from turnlog_runtime.setting_marks import HTTP, NATS, POSTGRES, REDIS, Address
from turnlog_runtime.setting_problems import shown
from turnlog_runtime.settings import (
    ALL_SETTINGS,
    CompressorSettings,
    IngestSettings,
    McpSettings,
    Origin,
    SettingsError,
    SharedSettings,
    check_all,
    load,
    read,
)

DATABASE = "postgresql://app:hunter2@db:5432/turnlog"
SECRETS = sorted(
    {
        variable
        for settings in ALL_SETTINGS
        for name, field in settings.model_fields.items()
        if takes_file(name, field)
        for variable in variables(name, field)
    }
)


def problems(environment: dict[str, str], settings: type[SharedSettings] = IngestSettings) -> tuple[str, ...]:
    reading = read(settings, environment)
    assert (reading.settings is None) == bool(reading.problems)
    return reading.problems


def test_every_secret_and_every_address_may_come_from_a_file() -> None:
    assert {"TURNLOG_DATABASE_URL", "DATABASE_URL", "TURNLOG_DATABASE_OWNER_URL", "NATS_URL", "REDIS_URL"} < {*SECRETS}
    assert {"TURNLOG_SECRET_KEY", "SECRET_KEY", "TURNLOG_MODEL_API_KEY", "TURNLOG_JWT_JWKS_URL"} < {*SECRETS}
    assert "TURNLOG_PORT" not in SECRETS


@pytest.mark.parametrize("variable", ["TURNLOG_DATABASE_URL", "DATABASE_URL", "turnlog_database_url"])
@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\n\n"])
def test_a_file_gives_the_value_without_its_line_break(tmp_path: Path, variable: str, ending: str) -> None:
    path = tmp_path / "url"
    path.write_text(DATABASE + ending)
    reading = read(SharedSettings, {f"{variable}_FILE": str(path)})
    assert reading.settings is not None
    assert reading.settings.database_url == SecretStr(DATABASE)
    assert reading.origins == {"database_url": Origin("file", f"{variable}_FILE", str(path))}
    assert "hunter2" not in repr(reading)


def test_the_prefixed_name_counts_before_the_bare_one(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text("nats://own:1")
    reading = read(SharedSettings, {"NATS_URL": "nats://other:1", "TURNLOG_NATS_URL_FILE": str(path)})
    assert reading.settings is not None
    assert reading.settings.nats_url == SecretStr("nats://own:1")


def test_a_value_and_a_file_for_one_setting_are_refused() -> None:
    (said,) = problems({"DATABASE_URL": DATABASE, "DATABASE_URL_FILE": "/nowhere"})
    assert said == "DATABASE_URL and DATABASE_URL_FILE are both set: unset one of them"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b" \t\n", "is empty"),
        (b"nats://a:1\nnats://b:1\n", "several lines"),
        (b"nats://a:1\0", "several lines"),
        (b"\xff\xfe", "UTF-8"),
        (b"x" * 70_000, "more than 65,536 bytes"),
    ],
)
def test_a_file_without_one_value_is_told_by_variable_and_path(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    (problem,) = problems({"TURNLOG_NATS_URL_FILE": str(path)})
    assert problem.startswith(f"TURNLOG_NATS_URL_FILE names {path}, which ")
    assert said in problem
    assert "nats://a" not in problem


def test_a_path_to_no_readable_file_is_told_with_the_fix(tmp_path: Path) -> None:
    (missing,) = problems({"REDIS_URL_FILE": str(tmp_path / "none")})
    assert "does not exist: put the value there, or correct the path" in missing
    (folder,) = problems({"REDIS_URL_FILE": str(tmp_path)})
    assert "which is no file" in folder
    os.mkfifo(tmp_path / "pipe")
    (pipe,) = problems({"REDIS_URL_FILE": str(tmp_path / "pipe")})
    assert "which is no file" in pipe
    assert problems({"REDIS_URL_FILE": ""}) == ("REDIS_URL_FILE is empty: name a file, or unset it",)
    assert "no path" in problems({"REDIS_URL_FILE": "a\0b"})[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_somebody_else_is_told_with_who_we_are(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("x")
    path.chmod(0)
    assert f"let the user {os.geteuid()} read it" in problems({"REDIS_URL_FILE": str(path)})[0]


def test_only_secrets_and_addresses_are_read_from_files() -> None:
    (said,) = problems({"TURNLOG_PORT_FILE": "/run/port"})
    assert said == (
        "unknown setting TURNLOG_PORT_FILE: only secrets and addresses are read from files, set TURNLOG_PORT"
    )


def test_every_problem_is_told_at_once_with_what_may_be_given() -> None:
    said = problems(
        {
            "TURNLOG_PORT": "99999",
            "TURNLOG_LOG_LEVEL": "loud",
            "TURNLOG_DEADLINE_S": "nan",
            "TURNLOG_DRAIN_S": "",
            "TURNLOG_LIMIT_KEY_TURNS_PER_MINUTE": "5",
            "TURNLOG_DATABASE_URL": "mysql://u:hunter2@db/x",
            "TURNLOG_COMIT_QUEUE_EVENTS": "1",
            "TURNLOG_JWT_ISSUER": "https://issuer.test",
            "TURNLOG_LOG": "Main",
            "NATS_URL_FILE": "/nowhere/nats",
        }
    )
    assert set(said) == {
        "TURNLOG_PORT is '99999': must be a whole number from 0 to 65,535 (default 8080)",
        "TURNLOG_LOG_LEVEL is 'loud': must be debug, info, warning or error (default info)",
        "TURNLOG_DEADLINE_S is 'nan': must be a number above 0, at most 60 (default 5)",
        "TURNLOG_DRAIN_S is empty: must be a number from 0 to 300 (default 0.3)",
        "TURNLOG_LIMIT_KEY_TURNS_PER_MINUTE is '5': must be 0 (no limit), or at least the 1000 turns that one request "
        "may store (default 60000)",
        "TURNLOG_DATABASE_URL must begin with postgresql:// or postgres://",
        "unknown setting TURNLOG_COMIT_QUEUE_EVENTS: did you mean TURNLOG_COMMIT_QUEUE_EVENTS?",
        "TURNLOG_JWT_AUDIENCE is not set: access tokens need issuer, audience and the keys' address",
        "TURNLOG_JWT_JWKS_URL is not set: access tokens need issuer, audience and the keys' address",
        "TURNLOG_LOG is 'Main': must be a log's name: 1 to 32 of a-z 0-9 -, the first no - (default main)",
        "NATS_URL_FILE names /nowhere/nats, which does not exist: put the value there, or correct the path",
    }
    error = SettingsError(*said)
    assert str(error).startswith("11 settings are wrong:\n  ")
    assert "hunter2" not in str(error)


def test_problems_of_all_services_are_told_once_each() -> None:
    with pytest.raises(SettingsError) as caught:
        check_all({"TURNLOG_PORT": "x", "TURNLOG_MODEL_PROVIDER": "openai", "TURNLOG_MCP_API_URL": "ftp://x"})
    assert sorted(p.split()[0] for p in caught.value.problems) == [
        "TURNLOG_MCP_API_URL",
        "TURNLOG_MODEL_NAME",
        "TURNLOG_PORT",
    ]


@pytest.mark.parametrize("variable", SECRETS)
@pytest.mark.parametrize(
    "value",
    ["hunter2", "hun ter2", "mysql://u:hunter2@h/d", "postgresql://u:hunter2#@h/d", "redis://:hunter2/@h",
     "nats://u:hunter2@h:99999", "https://u:hunter2@h:x", "http://[hunter2", "\x00hunter2", "ftp://hunter2@x"],
)  # fmt: skip
def test_no_error_holds_a_secret(variable: str, value: str, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(value)
    for environment in ({variable: value}, {f"{variable}_FILE": str(path)}, {variable: value, f"{variable}_FILE": "x"}):
        for settings in ALL_SETTINGS:
            said = "\n".join(read(settings, environment).problems)
            if "TURNLOG_MCP_API_URL" not in variable and "PUBLIC_URL" not in variable and "JWKS" not in variable:
                assert "hunter2" not in said, said
            assert "hunter2@" not in said, said


def test_an_empty_secret_is_no_silent_default() -> None:
    assert problems({"TURNLOG_DATABASE_URL": ""}) == ("TURNLOG_DATABASE_URL is empty: give it a value, or unset it",)
    assert problems({"TURNLOG_COMPRESS_NOT": ""}, CompressorSettings) == ()


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        (POSTGRES, "postgresql://turnlog_app@/turnlog?host=%2Ftmp%2Fx%20y&port=5432"),
        (POSTGRES, DATABASE),
        (POSTGRES, "postgres://u@[::1]:5432/d?sslmode=require"),
        (POSTGRES, "postgresql://u@a:1,b:2/d?target_session_attrs=read-write"),
        (NATS, "nats://turnlog:abc@127.0.0.1:4222"),
        (NATS, "tls://nats.example.com"),
        (REDIS, "unix:///tmp/a/redis.sock?db=0"),
        (REDIS, "unix://user:pw@/tmp/redis.sock"),
        (REDIS, "rediss://:p%23w@redis.example.com:6380/2"),
        (HTTP, "http://127.0.0.1:11434/v1"),
    ],
)
def test_addresses_that_are_taken(kind: Address, address: str) -> None:
    assert address_problem(address, kind) == ""


@pytest.mark.parametrize(
    ("kind", "address", "said"),
    [
        (POSTGRES, "db:5432", "must begin with postgresql:// or postgres://"),
        (POSTGRES, "postgresql:/db", "must begin with"),
        (POSTGRES, "postgresql://u:p#w@db/x", "write # as %23"),
        (POSTGRES, "postgresql://u:p/w@db/x", "write # as %23"),
        (POSTGRES, "postgresql://u@db:port/x", "no right port"),
        (POSTGRES, "postgresql://u@db/x ", "a space or a line break"),
        (NATS, "http://nats:4222", "must begin with nats:// or tls://"),
        (NATS, "nats://a:1,nats://b:1", "several servers"),
        (NATS, "nats://:4222", "names no host"),
        (NATS, "nats://n:0", "port 0"),
        (REDIS, "unix://", "names no socket"),
        (HTTP, "https://", "names no host"),
        (HTTP, "http://[::1", "is no address"),
    ],
)
def test_addresses_that_are_not_are_told_by_what_is_wrong(kind: Address, address: str, said: str) -> None:
    assert said in address_problem(address, kind)


@pytest.mark.parametrize(
    ("address", "hidden"),
    [
        (DATABASE, f"postgresql://app:{HIDDEN}@db:5432/turnlog"),
        ("postgresql://app@/turnlog?host=%2Ftmp%2Fs&password=hunter2", f"postgresql://app@/turnlog?host=/tmp/s&password={HIDDEN}"),
        ("redis://:hunter2@r:6379/0", f"redis://{HIDDEN}@r:6379/0"),
        ("nats://hunter2@n:4222", f"nats://{HIDDEN}@n:4222"),
        ("unix:///run/redis.sock?db=0", "unix:///run/redis.sock?db=0"),
        ("https://u:hunter2@models.test/v1?api_key=hunter2", f"https://u:{HIDDEN}@models.test/v1?api_key={HIDDEN}"),
        ("postgresql://u:hunter2#@h/d", HIDDEN),
        ("https://models.test/v1", "https://models.test/v1"),
    ],
)  # fmt: skip
def test_addresses_are_shown_without_their_passwords(address: str, hidden: str) -> None:
    assert without_password(address) == hidden


def test_secrets_are_never_shown() -> None:
    fields = CompressorSettings.model_fields
    assert shown("model_api_key", fields["model_api_key"], "hunter2") == HIDDEN
    assert shown("database_url", fields["database_url"], "hunter2") == HIDDEN
    assert shown("database_url", fields["database_url"], DATABASE) == without_password(DATABASE)
    assert shown("port", fields["port"], 8080) == "8080"
    assert shown("rebuild_auto", fields["port"], True) == "true"


def test_what_is_chosen_on_the_command_line_wins_and_says_so() -> None:
    reading = read(McpSettings, {"TURNLOG_PORT": "x"}, {"port": 9})
    assert reading.settings is not None
    assert reading.settings.port == 9
    assert str(reading.origins["port"]) == "command line"


def test_only_the_environment_given_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNLOG_PORT", "1234")
    reading = read(IngestSettings, {})
    assert reading.settings is not None
    assert reading.settings.port == 8080
    assert load(IngestSettings).port == 1234


@pytest.mark.parametrize("name", ["", "TURNLOG_"])
def test_services_started_here_get_each_address_once(name: str) -> None:
    from turnlog_cli.addresses import Addresses

    ours = {f"{name}DATABASE_URL_FILE": "/run/secrets/db", "TURNLOG_API_KEY_FILE": "/run/secrets/key", "KEPT": "1"}
    theirs = child_environment(ours, Addresses(1, "", DATABASE, "", "nats://n:1", "redis://r"), "127.0.0.1", 8080)
    assert not [variable for variable in theirs if variable.endswith("_FILE")]
    assert theirs["TURNLOG_DATABASE_URL"] == DATABASE
    assert theirs["KEPT"] == "1"
    assert read(IngestSettings, {k: v for k, v in theirs.items() if k.startswith("TURNLOG_")}).problems == ()


def test_the_key_of_commands_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("tl_abc_def\n")
    assert key_in({"TURNLOG_API_KEY_FILE": str(path)}) == "tl_abc_def"
    assert key_in({"TURNLOG_API_KEY": "tl_x"}) == "tl_x"
    assert key_in({}) == ""
    with pytest.raises(SettingsError, match="both set"):
        key_in({"TURNLOG_API_KEY": "tl_x", "TURNLOG_API_KEY_FILE": str(path)})
    path.write_text("")
    with pytest.raises(SettingsError, match="which is empty"):
        key_in({"TURNLOG_API_KEY_FILE": str(path)})


@pytest.mark.parametrize("settings", ALL_SETTINGS)
def test_metrics_may_be_on_the_port_of_an_api_only_where_there_is_no_api(settings: type[SharedSettings]) -> None:
    said = problems({"TURNLOG_METRICS_PORT": "8080"}, settings)
    has_api = settings.__name__ not in ("ProjectorSettings", "CompressorSettings")
    assert any("are both 8080" in problem for problem in said) == has_api
