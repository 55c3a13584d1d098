"""Which strings may be ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnlog_events.errors import InvalidField
from turnlog_events.ids import agent_session, checked_id, checked_session_id, is_id, new_id


@pytest.mark.parametrize("value", ["a", "A-Z.0_9:@+-#", "x" * 200, "..."])
def test_ids_of_the_alphabet_pass(value: str) -> None:
    assert checked_id(value, "f") == value


@pytest.mark.parametrize(
    "value", ["", ".", "..", "a b", "a/b", "a*", "a>", "a\n", "a\r\n", "{}", "é", "x" * 201, "~a", "a%2e"]
)
def test_other_ids_are_refused_with_their_field(value: str) -> None:
    with pytest.raises(InvalidField) as caught:
        checked_id(value, "agent_id")
    assert caught.value.field == "agent_id"


@given(st.text(max_size=20))
def test_no_client_id_is_an_agents_own_session(value: str) -> None:
    assert not is_id(agent_session(value))


def test_an_agents_own_session_may_be_named_in_a_path() -> None:
    assert checked_session_id("~agent.bob") == "~agent.bob"
    with pytest.raises(InvalidField):
        checked_session_id("~agent.")


def test_new_ids_are_distinct_and_in_order_of_creation() -> None:
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert ids == sorted(ids)
