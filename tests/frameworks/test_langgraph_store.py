"""LangGraph's long-term store on a running system: the cases its own stores are held to, and ours."""

import asyncio
import time
from typing import Any

import pytest
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore

from turnlog_client import AsyncClient, Client, as_id
from turnlog_client.frameworks.langgraph import TurnlogStore, items
from turnlog_client.frameworks.langgraph import store as store_module


@pytest.fixture
def store(client: Client) -> TurnlogStore:
    return TurnlogStore(client)


def keys(found: Any) -> list[str]:
    return sorted(item.key for item in found)


def test_values_are_stored_replaced_and_deleted(store: TurnlogStore, client: Client, name: str) -> None:
    space = ("users", name)
    assert store.get(space, "seat") is None
    store.put(space, "seat", {"where": "window", "n": 1.0})
    first = store.get(space, "seat")
    assert first is not None
    assert (first.value, first.key, first.namespace) == ({"where": "window", "n": 1.0}, "seat", space)
    store.put(space, "seat", {"where": "aisle"})
    second = TurnlogStore(client).get(space, "seat")
    assert second is not None
    assert second.value == {"where": "aisle"}
    assert second.created_at == first.created_at
    assert second.updated_at > first.updated_at
    store.delete(space, "seat")
    store.delete(space, "never there")
    assert store.get(space, "seat") is None
    assert TurnlogStore(client).search(space) == []
    assert "window" not in str(client.turns(as_id(f"users.{name}", "langgraph.store."), fresh=True))
    store.put(space, "seat", {"where": "window"})
    third = store.get(space, "seat")
    assert third is not None
    assert third.created_at > second.created_at


def test_a_value_given_out_is_a_copy(store: TurnlogStore, name: str) -> None:
    store.put((name,), "k", {"list": [1]})
    found = store.get((name,), "k")
    assert found is not None
    found.value["list"].append(2)
    again = store.get((name,), "k")
    assert again is not None
    assert again.value == {"list": [1]}


def test_another_process_sees_every_change_at_once(store: TurnlogStore, client: Client, name: str) -> None:
    other = TurnlogStore(client)
    for n in range(10):
        store.put((name,), "k", {"n": n})
        found = other.get((name,), "k")
        assert found is not None
        assert found.value == {"n": n}
        store.delete((name,), "k")
        assert other.get((name,), "k") is None


def test_search_filters_as_langgraph_does(store: TurnlogStore, name: str) -> None:
    """The same searches on LangGraph's own store give the same keys."""
    theirs = InMemoryStore()
    values: dict[str, dict[str, Any]] = {
        "a": {"kind": "report", "score": 4.5, "tags": ["x", "y"], "author": {"name": "ana"}},
        "b": {"kind": "report", "score": 9, "tags": ["x"], "author": {"name": "bob"}},
        "c": {"kind": "note", "score": 1, "tags": [], "author": {"name": "ana"}},
    }
    for key, value in values.items():
        for each in (store, theirs):
            each.put((name, "docs"), key, value)
    filters: list[dict[str, Any] | None] = [
        None, {}, {"kind": "report"}, {"kind": "none"}, {"score": {"$gt": 4.5}}, {"score": {"$gte": 4.5, "$lt": 9}},
        {"score": {"$lte": 1}}, {"kind": {"$ne": "note"}}, {"kind": {"$eq": "note"}}, {"tags": ["x"]},
        {"author": {"name": "ana"}}, {"author": {"name": {"$ne": "ana"}}}, {"missing": None},
    ]  # fmt: skip
    for wanted in filters:
        assert keys(store.search((name,), filter=wanted)) == keys(theirs.search((name,), filter=wanted)), wanted
    with pytest.raises(ValueError, match=r"\$near"):
        store.search((name,), filter={"score": {"$near": 3}})
    with pytest.raises(NotImplementedError, match="index of meanings"):
        store.search((name,), query="what does ana like?")


def test_search_pages_over_all_namespaces_below_a_prefix(store: TurnlogStore, name: str) -> None:
    for n in range(5):
        store.put((name, "docs", str(n % 2)), f"k{n}", {"n": n})
    store.put((f"{name}s", "docs"), "other", {})
    store.put((name,), "top", {})
    assert keys(store.search((name, "docs"))) == ["k0", "k1", "k2", "k3", "k4"]
    assert [item.key for item in store.search((name, "docs"), limit=2)] == ["k4", "k3"]
    assert [item.key for item in store.search((name, "docs"), limit=2, offset=4)] == ["k0"]
    assert len(store.search((name,), limit=100)) == 6


def test_namespaces_are_listed_as_langgraph_does(store: TurnlogStore, client: Client, name: str) -> None:
    theirs = InMemoryStore()
    for space in (
        ("a", "b", "c"),
        ("a", "b", "d", "e"),
        ("a", "b", "d", "i"),
        ("a", "c", "f"),
        ("b",),
        ("a", "ü x", "v1"),
    ):
        for each in (store, theirs):
            each.put((name, *space), "k", {})
    questions: list[dict[str, Any]] = [
        {"prefix": (name,)}, {"prefix": (name, "a", "b"), "max_depth": 4}, {"prefix": (name, "*", "b")},
        {"prefix": (name,), "suffix": ("v1",)}, {"suffix": (name, "b")}, {"prefix": (name,), "limit": 2, "offset": 1},
        {"prefix": (name, "zzz")}, {"prefix": (name,), "suffix": ("*", "f")},
    ]  # fmt: skip
    for question in questions:
        assert store.list_namespaces(**question) == theirs.list_namespaces(**question), question
    store.delete((name, "b"), "k")
    assert (name, "b") not in TurnlogStore(client).list_namespaces(prefix=(name,))


async def test_a_batch_reads_first_and_keeps_the_order_of_results(aclient: AsyncClient, name: str) -> None:
    store = TurnlogStore(aclient)
    await store.aput((name,), "a", {"n": 1})
    results = await store.abatch(
        [
            PutOp((name,), "a", {"n": 2}),
            GetOp((name,), "a"),
            SearchOp((name,)),
            PutOp((name,), "b", {"n": 1}),
            PutOp((name,), "b", {"n": 3}),
            ListNamespacesOp((MatchCondition("prefix", (name,)),)),
            GetOp((name,), "b"),
        ]
    )
    assert results[0] is results[3] is results[6] is None
    assert results[1].value == {"n": 1}  # type: ignore[union-attr]
    assert keys(results[2]) == ["a"]
    assert results[5] == [(name,)]
    assert {i.key: i.value["n"] for i in await store.asearch((name,))} == {"a": 2, "b": 3}
    with pytest.raises(TypeError, match="without await"):
        store.get((name,), "a")


async def test_concurrent_puts_all_stay(client: Client, aclient: AsyncClient, name: str) -> None:
    stores = [TurnlogStore(client), TurnlogStore(aclient)]
    await asyncio.gather(*(stores[n % 2].aput((name,), str(n), {"n": n}) for n in range(20)))
    assert len(await stores[0].asearch((name,), limit=100)) == 20


@pytest.mark.parametrize(
    "value", [{"t": "\0"}, {"n": 2**60}, {"t": "x" * 300_000}, {"t": [1.0, None, {"a": "\ud800"}]}]
)
def test_values_of_any_kind_and_size_come_back(store: TurnlogStore, client: Client, name: str, value: Any) -> None:
    store.put((name,), "k", value)
    found = TurnlogStore(client).get((name,), "k")
    assert found is not None
    assert found.value == value
    assert str(found.value) == str(value)


def test_namespaces_and_keys_of_any_name(store: TurnlogStore, client: Client, name: str) -> None:
    spaces = [(name, "a b"), (name, "a+b"), (name, "ü"), (name, "x" * 300)]
    for space in spaces:
        store.put(space, "key with / and 日", {"at": space[1]})
    fresh = TurnlogStore(client)
    assert fresh.list_namespaces(prefix=(name,)) == sorted(spaces)
    for space in spaces:
        found = fresh.get(space, "key with / and 日")
        assert found is not None
        assert found.value == {"at": space[1]}
    for wrong in ((name, "a.b"), (name, ""), ()):
        with pytest.raises(InvalidNamespaceError):
            store.put(wrong, "k", {})
    with pytest.raises(InvalidNamespaceError):
        store.batch([GetOp((name, "a.b"), "k")])


def test_a_life_ends_and_is_prolonged_by_reads(
    store: TurnlogStore, client: Client, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(store_module.time, "time", lambda: now)
    store.put((name,), "short", {}, ttl=1)
    store.put((name,), "read", {}, ttl=1)
    store.put((name,), "for ever", {})
    now += 40
    assert store.get((name,), "read") is not None
    assert store.get((name,), "short", refresh_ttl=False) is not None
    now += 30
    assert keys(store.search((name,), refresh_ttl=False)) == ["for ever", "read"]
    assert store.get((name,), "short") is None
    now += 40
    assert keys(TurnlogStore(client).search((name,))) == ["for ever"]
    default = TurnlogStore(client, ttl={"default_ttl": 1, "refresh_on_read": False})
    default.put((name,), "by default", {})
    now += 61
    assert default.get((name,), "by default") is None


def test_filters_compare_only_what_compares() -> None:
    assert not items.matches("text", {"$gt": 1})
    assert not items.matches(None, {"$lte": 1})
    assert items.matches(2, {"$gt": 1, "$ne": 3})
