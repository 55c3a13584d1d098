"""What the load consists of: plausible turns, as request bytes and as events. Pure; the same for the same arguments."""

import random
from collections.abc import Sequence
from functools import cache

from turnlog_events.canonical import canonical
from turnlog_events.event import TURN_STORED, NewEvent
from turnlog_events.hashing import payload_hash
from turnlog_events.ids import DEFAULT_TENANT, new_id

CONTENT_CHARS = 250
TENANT_HEADER = "x-tenant"
_WORDS = tuple(
    """
    about after again always and another answer because before book bring call change city coffee could day dinner
    early evening family flight friend from garden give hotel house idea invoice is just keep know last later letter
    light like little long maybe meeting moment money month morning never next night now office often open order
    people phone place plan please project question quick ready reason remember report right room say school see
    send should simple small some soon start still story street summer table talk team tell thank thing think ticket
    time today tomorrow train travel try until very visit wait want water week weekend when where which work write
    year yesterday Alice Berlin Friday Monday Oslo Paris
    """.split()  # noqa: SIM905
)


@cache
def contents(count: int = 512) -> tuple[str, ...]:
    """Texts of about `CONTENT_CHARS` characters in short sentences, so that tokens and summaries cost what they do."""
    chance = random.Random(7)
    texts = []
    for _ in range(count):
        text = ""
        while len(text) < CONTENT_CHARS - 40:
            sentence = " ".join(chance.choice(_WORDS) for _ in range(chance.randint(6, 12)))
            text += sentence[0].upper() + sentence[1:] + ". "
        texts.append(text.strip())
    return tuple(texts)


def turn_json(number: int, turn_id: str) -> bytes:
    """A turn as a client sends it."""
    texts = contents()
    role = "assistant" if number % 2 else "user"
    text = texts[number % len(texts)]
    return f'{{"role":"{role}","content":"{text}","agent_id":"travel","user_id":"ana","turn_id":"{turn_id}"}}'.encode()


def post(path: str, body: bytes, headers: str = "") -> bytes:
    """A POST as bytes on the wire, on a connection that stays open; `headers` are whole lines."""
    own = f"host: bench\r\n{headers}content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return f"POST {path} HTTP/1.1\r\n{own}\r\n".encode() + body


def get(path: str) -> bytes:
    """A GET as bytes on the wire."""
    return f"GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n".encode()


def showing(key: str, requests: list[bytes]) -> list[bytes]:
    """The same requests, each with this API key."""
    shown = f"host: bench\r\nauthorization: Bearer {key}\r\n".encode()
    return [request.replace(b"host: bench\r\n", shown, 1) for request in requests] if key else requests


def tenant_of(place: str, number: int) -> str:
    """The name of one of several tenants."""
    return f"{place}-{number}"


def naming_tenants(place: str, tenants: int, prefix: str, requests: list[bytes]) -> list[bytes]:
    """The same requests, each naming one of the tenants, as chance (seeded with `prefix`) has it; as they are when
    there are none."""
    if not tenants:
        return requests
    chance = random.Random(prefix)
    hosts = [f"host: bench\r\n{TENANT_HEADER}: {tenant_of(place, n)}\r\n".encode() for n in range(tenants)]
    return [request.replace(b"host: bench\r\n", hosts[chance.randrange(tenants)], 1) for request in requests]


def single_posts(prefix: str, place: str, sessions: int, count: int, headers: str = "") -> list[bytes]:
    """Requests to store one turn each, every id new, spread over the sessions."""
    chance = random.Random(prefix)
    return [
        post(f"/v1/sessions/{place}-{chance.randrange(sessions)}/turns", turn_json(n, f"{prefix}.{n}"), headers)
        for n in range(count)
    ]


def many_posts(prefix: str, place: str, sessions: int, count: int, turns: int, headers: str = "") -> list[bytes]:
    """Requests to store `turns` turns each."""
    made = []
    for n in range(count):
        body = b'{"turns":[' + b",".join(turn_json(n + t, f"{prefix}.{n}.{t}") for t in range(turns)) + b"]}"
        made.append(post(f"/v1/sessions/{place}-{n % sessions}/turns", body, headers))
    return made


def reads(place: str, sessions: int, limit: int) -> list[bytes]:
    """Requests for the recent turns of every session, shuffled."""
    made = [get(f"/v1/sessions/{place}-{n}/turns?limit={limit}") for n in range(sessions)]
    random.Random(place).shuffle(made)
    return made


def events(session_id: str, prefix: str, numbers: Sequence[int], tenant: str = DEFAULT_TENANT) -> tuple[NewEvent, ...]:
    """The events that the same turns become, for appending without HTTP."""
    texts = contents()
    made = []
    for n in numbers:
        fields = {"role": "assistant" if n % 2 else "user", "content": texts[n % len(texts)]}
        payload = canonical(fields | {"agent_id": "travel", "user_id": "ana"})
        made.append(
            NewEvent(
                tenant, session_id, TURN_STORED, f"{prefix}.{n}", payload, payload_hash(payload), new_id(),
                agent_id="travel", user_id="ana",
            )
        )  # fmt: skip
    return tuple(made)
