"""`muster subject`, and the SDK's `client.subjects`, against a real service."""

import asyncio

import pytest

from musterroll import AsyncClient, Client
from musterroll.errors import Conflict, NotFound
from tests.interfaces.muster import Muster
from tests.interfaces.service import PASSWORD, Service

SUBJECT = "customer-4711"


@pytest.fixture
def muster(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Muster:
    return Muster(service, monkeypatch, capsys)


def test_a_subject_is_named_with_a_task_and_erased_when_that_is_meant(muster: Muster) -> None:
    submitted = ("task", "submit", "review", "--input", '"Ada"', "--subject", SUBJECT, "--json")
    task_id = muster.done(*submitted).json["task_id"]
    before = muster.done("task", "get", task_id, "--json").json["input"]

    unasked = muster("subject", "erase", SUBJECT)
    known = muster.done("subject", "show", SUBJECT, "--json").json
    erased = muster.done("subject", "erase", SUBJECT, "--yes", "--json").json

    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    assert (before, known["state"]) == ("Ada", "known")
    assert erased["subject_id"] == known["subject_id"]
    assert "erased" in muster.done("subject", "show", SUBJECT).out
    assert muster.done("task", "get", task_id, "--json").json["input"] == "[erased]"


def test_a_subject_that_nobody_knows_is_not_found(muster: Muster) -> None:
    shown, erased = muster("subject", "show", "nobody"), muster("subject", "erase", "x", "--yes")

    assert (shown.code, erased.code) == (5, 5)
    assert shown.err.count("\n") == 1


def test_both_clients_erase(service: Service) -> None:
    with Client(service.url, username="admin", password=PASSWORD) as client:
        client.tasks.submit("review", {"name": "Ada"}, subject=SUBJECT)
        client.tasks.submit_many([{"kind": "review", "subject": "customer-4712"}])
        known = client.subjects.get(SUBJECT)
        receipt = client.subjects.erase(SUBJECT)
        with pytest.raises(Conflict, match="was erased"):
            client.tasks.submit("review", subject=SUBJECT)

    async def story() -> str:
        async with AsyncClient(service.url, username="admin", password=PASSWORD) as other:
            await other.subjects.erase("customer-4712")
            with pytest.raises(NotFound):
                await other.subjects.erase("nobody")
            return (await other.subjects.get(SUBJECT)).state

    assert (known.state, known.subject_id) == ("known", receipt.id)
    assert asyncio.run(story()) == "erased"
