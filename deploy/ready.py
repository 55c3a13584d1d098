"""Whether the service in this container is ready: exit code 0 when /readyz answers 200, 1 with the reason otherwise.

The health check of the images, which have no curl: `python ready.py [port [host]]`, by default 8080 of this machine.
The standard library's `socket` alone, since it is started every few seconds.
"""

import socket
import sys

ANSWER_S = 3.0
ANSWER_MAX_BYTES = 65_536


def answer(host: str, port: int) -> tuple[int, str]:
    """The status and the body of GET /readyz. Raises `OSError` when there is no answer in time, or no HTTP."""
    with socket.create_connection((host, port), ANSWER_S) as connection:
        connection.settimeout(ANSWER_S)
        connection.sendall(f"GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while len(received) < ANSWER_MAX_BYTES and (part := connection.recv(ANSWER_MAX_BYTES)):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    line = head.split(b"\r\n", 1)[0].split(b" ")
    if len(line) < 2 or not line[0].startswith(b"HTTP/") or not line[1].isdigit():
        raise OSError("what answered does not speak HTTP")
    return int(line[1]), body.decode(errors="replace")


def main(arguments: list[str]) -> int:
    """Ask, say why not, and return the exit code."""
    port = int(arguments[0]) if arguments else 8080
    host = arguments[1] if len(arguments) > 1 else "127.0.0.1"
    try:
        status, body = answer(host, port)
    except OSError as error:
        print(f"no answer from {host}:{port}: {error}", file=sys.stderr)
        return 1
    if status != 200:
        print(f"{status} {body}", file=sys.stderr)
    return int(status != 200)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
