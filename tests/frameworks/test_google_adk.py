"""ADK's session service: the same cases over its in-memory service and ours."""

import asyncio
import uuid
from typing import Any

import pytest
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions import BaseSessionService, InMemorySessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai import types

from framework_examples import printed
from turnlog_client import AsyncClient
from turnlog_client.frameworks.google_adk import TurnlogSessionService
from turnlog_client.frameworks.items import TurnTooLarge


def event(text: str | None = None, author: str = "user", **more: Any) -> Event:
    content = None if text is None else types.Content(role="user", parts=[types.Part(text=text)])
    return Event(author=author, invocation_id=more.pop("invocation_id", "inv"), content=content, **more)


def change(**delta: Any) -> Event:
    return event(actions=EventActions(state_delta={key.replace("__", ":"): value for key, value in delta.items()}))


@pytest.fixture
def ours(aclient: AsyncClient) -> TurnlogSessionService:
    return TurnlogSessionService(aclient)


@pytest.fixture(params=["in memory", "turnlog"])
def service(request: pytest.FixtureRequest, ours: TurnlogSessionService) -> BaseSessionService:
    return InMemorySessionService() if request.param == "in memory" else ours


@pytest.fixture
def app() -> str:
    return f"app {uuid.uuid4().hex[:8]}"


async def stored(service: BaseSessionService, like: Session, **config: Any) -> Session:
    found = await service.get_session(
        app_name=like.app_name, user_id=like.user_id, session_id=like.id, config=GetSessionConfig(**config)
    )
    assert found is not None
    return found


async def test_a_session_is_created_read_and_deleted(service: BaseSessionService, app: str) -> None:
    asked = {"app_name": app, "user_id": "ana"}
    assert await service.get_session(**asked, session_id="123") is None
    session = await service.create_session(**asked, state={"key": "value"})
    assert session.id
    assert session.state == {"key": "value"}
    assert await stored(service, session) == session
    await service.delete_session(**asked, session_id=session.id)
    assert await service.get_session(**asked, session_id=session.id) is None
    await service.delete_session(**asked, session_id=session.id)
    assert (await service.list_sessions(**asked)).sessions == []


async def test_an_id_can_be_chosen_once_and_again_after_its_end(service: BaseSessionService, app: str) -> None:
    asked: dict[str, Any] = {"app_name": app, "user_id": "ana", "session_id": " s1 "}
    session = await service.create_session(**asked, state={"life": 1})
    assert session.id == "s1"
    with pytest.raises(AlreadyExistsError):
        await service.create_session(**asked)
    await service.append_event(session, event("hello"))
    await service.delete_session(**asked)
    with pytest.raises(SessionNotFoundError):
        await service.append_event(session, event("too late"))
    again = await service.create_session(**asked)
    assert (again.state, again.events) == ({}, [])
    assert await stored(service, again) == again


async def test_sessions_are_listed_by_app_and_user_with_their_state(service: BaseSessionService, app: str) -> None:
    for user, name in (("ana", "a1"), ("ana", "a2"), ("ben", "b1")):
        await service.create_session(app_name=app, user_id=user, session_id=name, state={"key": f"value {name}"})
    await service.create_session(app_name=f"{app} too", user_id="ana", session_id="a1")
    listed = (await service.list_sessions(app_name=app, user_id="ana")).sessions
    assert {s.id: s.state for s in listed} == {"a1": {"key": "value a1"}, "a2": {"key": "value a2"}}
    assert len((await service.list_sessions(app_name=app)).sessions) == 3
    first = await stored(service, listed[0])
    await service.append_event(first, event("hello", timestamp=listed[-1].last_update_time + 5))
    listed = (await service.list_sessions(app_name=app, user_id="ana")).sessions
    assert [s.id for s in listed] == ["a2", "a1"]
    assert all(s.events == [] for s in listed)


async def test_state_is_shared_by_its_scope(service: BaseSessionService, app: str) -> None:
    given = {"app:a": 1, "user:u": 1, "own": 1, "temp:t": 1}
    session = await service.create_session(app_name=app, user_id="ana", session_id="s1", state=given)
    await service.append_event(session, change(app__b=2, user__v=2, more=2))
    everything = {"app:a": 1, "app:b": 2, "user:u": 1, "user:v": 2, "own": 1, "more": 2}
    assert (await stored(service, session)).state == everything
    second = await service.create_session(app_name=app, user_id="ana", session_id="s2")
    assert second.state == {"app:a": 1, "app:b": 2, "user:u": 1, "user:v": 2}
    other = await service.create_session(app_name=app, user_id="ben", session_id="s1")
    assert other.state == {"app:a": 1, "app:b": 2}
    assert (await service.create_session(app_name=f"{app} too", user_id="ana")).state == {}
    await service.delete_session(app_name=app, user_id="ana", session_id="s1")
    assert await service.get_user_state(app_name=app, user_id="ana") == {"u": 1, "v": 2}
    assert await service.get_user_state(app_name=app, user_id="ben") == {}


async def test_a_later_value_wins_and_none_is_a_value(service: BaseSessionService, app: str) -> None:
    session = await service.create_session(app_name=app, user_id="ana")
    for n in range(3):
        await service.append_event(session, change(user__n=n, m=n, gone=None, deep={"x": None, "y": 1.0}))
    found = await stored(service, session)
    assert found.state == {"user:n": 2, "m": 2, "gone": None, "deep": {"x": None, "y": 1.0}}
    assert found == session


async def test_temporary_state_lives_in_the_session_object_only(service: BaseSessionService, app: str) -> None:
    session = await service.create_session(app_name=app, user_id="ana")
    sent = change(temp__k="v", kept="w")
    await service.append_event(session, sent)
    assert session.state == {"temp:k": "v", "kept": "w"}
    assert sent.actions.state_delta == {"kept": "w"}
    found = await stored(service, session)
    assert found.state == {"kept": "w"}
    assert found.events[0].actions.state_delta == {"kept": "w"}


async def test_a_users_session_is_not_another_users(service: BaseSessionService, app: str) -> None:
    first = await service.create_session(app_name=app, user_id="ana", session_id="s1")
    await service.append_event(first, event("mine"))
    second = await service.create_session(app_name=app, user_id="ben", session_id="s1")
    assert (await stored(service, second)).events == []


async def test_an_event_comes_back_as_it_was(service: BaseSessionService, app: str) -> None:
    session = await service.create_session(app_name=app, user_id="ana")
    parts = [
        types.Part(text="look"),
        types.Part.from_bytes(data=b"\x00\xff image", mime_type="image/png"),
        types.Part(function_call=types.FunctionCall(id="c1", name="seat", args={"kind": None, "row": 1.0})),
        types.Part(text="hm", thought=True, thought_signature=b"\x01"),
    ]
    sent = Event(
        invocation_id="inv",
        author="planner",
        content=types.Content(role="model", parts=parts),
        turn_complete=True,
        partial=False,
        actions=EventActions(artifact_delta={"file": 0}, transfer_to_agent="agent", escalate=True),
        long_running_tool_ids={"tool1"},
        error_code="code",
        error_message="message",
        interrupted=True,
        grounding_metadata=types.GroundingMetadata(
            web_search_queries=["q"], search_entry_point=types.SearchEntryPoint(sdk_blob=b"blob")
        ),
        usage_metadata=types.GenerateContentResponseUsageMetadata(prompt_token_count=1, total_token_count=2),
        citation_metadata=types.CitationMetadata(),
        custom_metadata={"key": {"none": None}},
        timestamp=1_700_000_000.0,
        input_transcription=types.Transcription(text="heard", finished=True),
        branch="a.b",
    )
    await service.append_event(session, sent)
    found = await stored(service, session)
    assert found.events == [sent]
    assert found == session
    assert found.last_update_time == sent.timestamp


async def test_recent_events_are_chosen_by_number_and_time(service: BaseSessionService, app: str) -> None:
    session = await service.create_session(app_name=app, user_id="ana")
    for n in range(1, 6):
        await service.append_event(session, event(timestamp=float(n), actions=EventActions(state_delta={f"k{n}": n})))

    async def times(**config: Any) -> list[float]:
        found = await stored(service, session, **config)
        assert len(found.state) == 5
        return [e.timestamp for e in found.events]

    assert await times() == [1, 2, 3, 4, 5]
    assert await times(num_recent_events=0) == []
    assert await times(num_recent_events=3) == [3, 4, 5]
    assert await times(num_recent_events=9) == [1, 2, 3, 4, 5]
    assert await times(after_timestamp=4.0) == [4, 5]
    assert await times(after_timestamp=50.0) == []
    assert await times(num_recent_events=3, after_timestamp=4.0) == [4, 5]


async def test_partial_events_are_not_stored(service: BaseSessionService, app: str) -> None:
    session = await service.create_session(app_name=app, user_id="ana")
    await service.append_event(session, event("wor", partial=True))
    assert session.events == []
    assert (await stored(service, session)).events == []


async def test_an_event_delivered_again_is_there_once(service: BaseSessionService, app: str) -> None:
    session = await service.create_session(app_name=app, user_id="ana")
    sent, plain = event("once", actions=EventActions(state_delta={"k": 1, "user:u": 1})), event("and once")
    later = change(user__u=2)
    for one in (sent, plain, later):
        await service.append_event(session, one)
    for again in (sent, plain):
        await service.append_event(session, again.model_copy(deep=True))
    assert session.events == [sent, plain, later]
    await service.append_event(session, event("goes on"))
    found = await stored(service, session)
    assert found.events == session.events
    assert found.state == {"k": 1, "user:u": 2}


async def test_a_session_that_was_never_created_takes_no_event(service: BaseSessionService, app: str) -> None:
    unknown = Session(id="unknown", app_name=app, user_id="ana")
    with pytest.raises(SessionNotFoundError):
        await service.append_event(unknown, event("hello"))


async def test_a_stale_writer_is_refused_and_changes_no_state(ours: TurnlogSessionService, app: str) -> None:
    stale = await ours.create_session(app_name=app, user_id="ana")
    await ours.append_event(stale, event("first"))
    current = await stored(ours, stale)
    await ours.append_event(current, event("second"))
    for late in (event("third"), change(user__u="never", app__a="never")):
        with pytest.raises(ValueError, match="modified in storage"):
            await ours.append_event(stale, late)
    found = await stored(ours, stale)
    assert [e.content.parts[0].text for e in found.events if e.content and e.content.parts] == ["first", "second"]
    assert found.state == {}


async def test_an_event_whose_answer_was_lost_is_taken_up(ours: TurnlogSessionService, app: str) -> None:
    session = await ours.create_session(app_name=app, user_id="ana")
    before = session.model_copy(deep=True)
    lost = event("stored, but nobody was told")
    await ours.append_event(session, lost)
    await ours.append_event(before, lost)
    await ours.append_event(before, event("next"))
    behind = session.model_copy(deep=True)
    await ours.append_event(behind, lost)
    with pytest.raises(ValueError, match="modified in storage"):
        await ours.append_event(behind, event("without having seen the next"))
    assert (await stored(ours, before)).events == before.events


async def test_of_two_writers_at_once_one_is_refused(ours: TurnlogSessionService, app: str) -> None:
    session = await ours.create_session(app_name=app, user_id="ana")
    for n in range(5):
        latest = await stored(ours, session)
        one, two = latest.model_copy(deep=True), latest.model_copy(deep=True)
        results = await asyncio.gather(
            ours.append_event(one, event(f"one {n}")),
            ours.append_event(two, event(f"two {n}")),
            return_exceptions=True,
        )
        refused = [r for r in results if isinstance(r, BaseException)]
        assert [type(r).__name__ for r in refused] == ["StaleSessionError"]
    assert len((await stored(ours, session)).events) == 5


async def test_a_session_object_without_a_mark_is_judged_by_its_events(ours: TurnlogSessionService, app: str) -> None:
    session = await ours.create_session(app_name=app, user_id="ana")
    await ours.append_event(session, event("first"))
    copy = Session(id=session.id, app_name=app, user_id="ana", events=list(session.events))
    await ours.append_event(copy, event("second"))
    late = Session(id=session.id, app_name=app, user_id="ana", events=list(session.events))
    with pytest.raises(ValueError, match="modified in storage"):
        await ours.append_event(late, event("third"))


async def test_many_sessions_change_the_same_state_and_lose_nothing(ours: TurnlogSessionService, app: str) -> None:
    sessions = [await ours.create_session(app_name=app, user_id="ana") for _ in range(6)]
    changes = [ours.append_event(s, change(**{f"user__k{n}": n})) for n, s in enumerate(sessions)]
    await asyncio.gather(*changes)
    assert await ours.get_user_state(app_name=app, user_id="ana") == {f"k{n}": n for n in range(6)}


async def test_of_two_creations_at_once_one_is_told(ours: TurnlogSessionService, app: str) -> None:
    creations = [ours.create_session(app_name=app, user_id="ana", session_id="s") for _ in range(4)]
    results = await asyncio.gather(*creations, return_exceptions=True)
    assert sum(isinstance(r, AlreadyExistsError) for r in results) == 3


async def test_an_event_id_of_an_earlier_life_is_stored_again(ours: TurnlogSessionService, app: str) -> None:
    asked = {"app_name": app, "user_id": "ana", "session_id": "s"}
    sent = event("hello")
    await ours.append_event(await ours.create_session(**asked), sent)
    await ours.delete_session(**asked)
    again = await ours.create_session(**asked)
    await ours.append_event(again, sent)
    assert (await stored(ours, again)).events == [sent]


async def test_large_events_are_kept_and_too_large_ones_refused(ours: TurnlogSessionService, app: str) -> None:
    session = await ours.create_session(app_name=app, user_id="ana")
    await ours.append_event(session, event("long " * 30_000))
    answer = types.FunctionResponse(id="c1", name="rows", response={"rows": [{"n": n} for n in range(3_000)]})
    parts = [types.Part(function_response=answer)]
    await ours.append_event(session, Event(author="planner", content=types.Content(role="user", parts=parts)))
    assert (await stored(ours, session)).events == session.events
    with pytest.raises(TurnTooLarge):
        await ours.append_event(session, event("x" * 300_000))


async def test_what_is_read_of_a_session_is_the_conversation(
    ours: TurnlogSessionService, aclient: AsyncClient, app: str
) -> None:
    session = await ours.create_session(app_name=app, user_id="ana", session_id="s", state={"k": 1})
    call = types.FunctionCall(id="c1", name="seat", args={"kind": "window"})
    answer = types.FunctionResponse(id="c1", name="seat", response={"seat": "12A"})
    await ours.append_event(session, event("A window seat, please."))
    for part in (types.Part(function_call=call), types.Part(function_response=answer), types.Part(text="12A it is.")):
        sent = Event(author="planner", content=types.Content(role="model", parts=[part]))
        await ours.append_event(session, sent)
    [row] = [r async for r in aclient.sessions(user_id="ana") if r["session_id"].startswith(app.replace(" ", "+20"))]
    context = await aclient.context(row["session_id"], format="text", min_version=5)
    assert context["text"].splitlines() == [
        "user: A window seat, please.",
        "planner (assistant): ",
        '  calls seat (c1): {"kind": "window"}',
        'tool result (c1): {"seat": "12A"}',
        "planner (assistant): 12A it is.",
    ]


def test_the_example_runs(turnlog_url: str) -> None:
    lines = printed("with_google_adk.py", turnlog_url).splitlines()
    assert lines[0] == "planner: Seat 12A (window) it is."
    assert lines[1] == "after a restart: 4 events, state {'user:seat': '12A (window)'}"
    assert lines[2] == "remembered: Seat 12A (window) it is."
