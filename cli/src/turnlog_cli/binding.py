"""Where the API listens, and how it is called from here. (Where it may: `turnlog_runtime.door_settings`.)"""

import errno
import socket

from turnlog_cli.errors import CommandError


def free_port(host: str, port: int, setting: str = "--port N (0: any)") -> int:
    """The port if it is free, or with 0 any free one. Raises `CommandError` when it is taken, naming the setting."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family) as listener:
            return int(listener.getsockname()[1])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CommandError(
                f"port {port} is taken by another program: stop it, or choose another port with {setting}"
            ) from None
        raise CommandError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None


def url_of(host: str, port: int) -> str:
    """The address to call from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (which address "all of them" is called by)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
