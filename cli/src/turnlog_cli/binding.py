"""Which address the API may listen on."""

import errno
import ipaddress
import socket

from turnlog_cli.errors import CommandError


def loopback(host: str) -> str:
    """The host itself if only this machine can reach it. Raises `CommandError` otherwise.

    There is no authentication yet: whoever reaches the port reads and writes everything.
    """
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if not local:
        raise CommandError(
            f"TURNLOG_HOST={host} is refused: Turnlog has no authentication yet, so it listens on this machine only. "
            "Use 127.0.0.1, and put a proxy that authenticates in front for others"
        )
    return host


def free_port(host: str, port: int) -> int:
    """The port if it is free, or with 0 any free one. Raises `CommandError` when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family) as listener:
            return int(listener.getsockname()[1])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CommandError(
                f"port {port} is taken by another program: stop it, or choose another port with --port N (0: any)"
            ) from None
        raise CommandError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None


def url_of(host: str, port: int) -> str:
    """The address to call."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
