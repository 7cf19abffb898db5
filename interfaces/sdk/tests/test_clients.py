import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from musterroll import AsyncClient, Client, _groups
from musterroll._calls import listed
from musterroll._request import Page, Pages, Plan, as_it_is, query
from musterroll.errors import Invalid, TimedOut, Unavailable

PAIRS = [
    (Client, AsyncClient),
    (_groups.Tasks, _groups.AsyncTasks),
    (_groups.Agents, _groups.AsyncAgents),
    (_groups.Users, _groups.AsyncUsers),
    (_groups.Clients, _groups.AsyncClients),
    (_groups.Subjects, _groups.AsyncSubjects),
    (_groups.Audit, _groups.AsyncAudit),
    (_groups.Backups, _groups.AsyncBackups),
]


def calls_of(kind: type[Any]) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in vars(kind).items()
        if not name.startswith("_") and callable(member)
    }


@pytest.mark.parametrize(("plain", "awaited"), PAIRS)
def test_both_clients_have_the_same_calls(plain: type[Any], awaited: type[Any]) -> None:
    ours, theirs = calls_of(plain), calls_of(awaited)
    theirs.pop("aclose", None)
    ours.pop("close", None)

    assert ours.keys() == theirs.keys()
    for name, signature in ours.items():
        assert [*signature.parameters] == [*theirs[name].parameters]


@pytest.mark.parametrize("kind", [kind for pair in PAIRS for kind in pair])
def test_every_call_is_documented_with_what_it_raises(kind: type[Any]) -> None:
    for name in calls_of(kind).keys() - {"close", "aclose"}:
        assert "aises" in (inspect.getdoc(getattr(kind, name)) or ""), name


class Shelf:
    """Carries out requests for pages from a list of them, and counts."""

    def __init__(self, *pages: Page[int]) -> None:
        self.pages = list(pages)
        self.asked = 0

    def _run(self, plan: Plan[Any]) -> Any:
        self.asked += 1
        return self.pages.pop(0)

    def read(self, limit: int | None) -> Iterator[int]:
        first = query("/v1/x", as_it_is)
        pages = Pages(
            first=first, following=lambda page: first if page.next_cursor else None, limit=limit
        )
        return listed(lambda: pages)(self)


def test_a_list_is_read_to_its_last_page() -> None:
    shelf = Shelf(Page(items=[1, 2], next_cursor="a"), Page(items=[3], next_cursor=None))

    assert list(shelf.read(limit=None)) == [1, 2, 3]


def test_a_list_asks_for_no_page_beyond_its_limit() -> None:
    shelf = Shelf(Page(items=[1, 2], next_cursor="a"), Page(items=[3], next_cursor=None))

    assert list(shelf.read(limit=2)) == [1, 2]
    assert list(shelf.read(limit=0)) == []
    assert shelf.asked == 1


def test_a_client_does_nothing_before_its_first_request() -> None:
    Client("nonsense").close()

    with pytest.raises(Invalid, match="not the address of a service"):
        _ = Client("nonsense").url


def test_nobody_answers_at_a_closed_port() -> None:
    async def ask() -> None:
        async with AsyncClient("http://127.0.0.1:9", token="t", retry_seconds=0) as asking:
            await asking.tasks.counts()

    with Client("http://127.0.0.1:9", token="t", retry_seconds=0) as plain:
        with pytest.raises(Unavailable, match=r"no answer from http://127.0.0.1:9"):
            plain.tasks.counts()
        with pytest.raises(Invalid, match="printable"):
            plain.tasks.submit("count", idempotency_key="a\nb")
    with pytest.raises(Unavailable, match="no answer"):
        asyncio.run(ask())


def test_an_error_shows_the_fields_at_fault() -> None:
    error = Invalid(
        "the body is wrong",
        code="invalid_body",
        errors=[{"pointer": "/priority", "message": "at most 9"}],
    )

    assert str(error) == "the body is wrong (/priority: at most 9)"
    assert TimedOut("late", code="timed_out").errors == ()
