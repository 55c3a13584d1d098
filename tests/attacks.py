"""The form of a table of attacks: what is sent, and what must be answered. Each test module holds a table of its kind;
`door` (tests/integration/conftest.py) is the running API they are sent to."""

from collections.abc import Callable
from dataclasses import dataclass

from wire import Answer, ask, request

TURN = b'{"role":"user","content":"My flight is on Friday."}'
JSON = "Content-Type: application/json"


@dataclass(frozen=True)
class Attack:
    """One line of a table. `sent` are the bytes, or makes them of a fresh session id."""

    name: str
    sent: bytes | Callable[[str], bytes]
    status: int
    code: str | None = None
    """Of the error; None for an answer that is none."""
    param: str | None = None
    closes: bool | None = None
    """Whether the connection must end, or must not; None: either."""

    async def made_on(self, port: int, session: str) -> Answer:
        """Send it, and hold the answer to the line."""
        answer = await ask(port, self.sent if isinstance(self.sent, bytes) else self.sent(session))
        assert answer.status == self.status, answer
        assert answer.header("request-id"), answer
        if self.code is not None:
            error = answer.problem()
            assert (error["code"], error["param"]) == (self.code, self.param), error
        if self.closes is not None:
            assert answer.closes == self.closes, answer
        return answer


def names(table: list[Attack]) -> list[str]:
    """For pytest's ids."""
    assert len({attack.name for attack in table}) == len(table), "two lines of one name"
    return [attack.name for attack in table]


def post_turn(body: bytes, *fields: str) -> Callable[[str], bytes]:
    """A write of one turn."""
    return lambda session: request("POST", f"/v1/sessions/{session}/turns", JSON, *fields, body=body)


def post_memory(body: bytes, *fields: str) -> bytes:
    """A read with a body."""
    return request("POST", "/tools/get_recent_turns", JSON, *fields, body=body)
