"""`muster webhook` against a real service and a real receiver."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from application.webhooks.patience import Patience
from tests.conftest import Database
from tests.interfaces.muster import Muster
from tests.interfaces.service import Service
from tests.receiver import Receiver, Reply


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    service = Service(database, tmp_path, webhook_private_targets=True)
    service.process.patience = Patience((0.05,))
    with service:
        yield service


@pytest.fixture
def muster(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Muster:
    return Muster(service, monkeypatch, capsys)


def test_a_webhook_is_added_allowed_paused_and_removed(muster: Muster) -> None:
    with Receiver() as receiver:
        made = muster.done("webhook", "add", receiver.url, "--type", "task.submitted", "--json")
        webhook_id = made.json["webhook_id"]
        allowed = muster.done("webhook", "allow", webhook_id)
        muster.done("task", "submit", "count")
        [delivered] = receiver.wait_for(1)

    paused = muster.done("webhook", "pause", webhook_id, "--json").json
    shown = muster.done("webhook", "get", webhook_id).out
    muster.done("webhook", "remove", webhook_id)

    assert delivered.is_signed_with(made.json["secret"])
    assert ["state", "on"] in [line.split() for line in allowed.out.splitlines()]
    assert paused["state"] == "paused"
    assert receiver.url in shown
    assert muster("webhook", "get", webhook_id).code == 5


def test_the_list_shows_each_webhook_on_a_line(muster: Muster) -> None:
    made = muster.done("webhook", "add", "https://hooks.example.org/in", "--channel", "agents")

    heading, row = muster.done("webhook", "list").out.splitlines()

    assert heading.split()[:3] == ["WEBHOOK", "STATE", "URL"]
    assert row.split()[0] in made.out
    assert "waiting" in row


def test_what_was_sent_in_vain_is_listed_and_sent_again(muster: Muster) -> None:
    def letters() -> list[dict[str, str]]:
        return muster.done("webhook", "dead-letters", webhook_id, "--json").rows

    with Receiver(lambda _: Reply(status=500)) as receiver:
        webhook_id = muster.done("webhook", "add", receiver.url, "--json").json["webhook_id"]
        muster.done("webhook", "allow", webhook_id)
        muster.done("task", "submit", "count")
        receiver.wait_until(lambda: bool(letters()))
        [letter] = letters()
        receiver.answering = lambda _: Reply()

        muster.done("webhook", "retry", webhook_id, "--cursor", letter["cursor"])
        receiver.wait_until(lambda: not letters())

    assert letter["type"] == "task.submitted"
    assert [received.cursor for received in receiver.taken] == [letter["cursor"]]


def test_a_secret_is_replaced_and_shown_once(muster: Muster) -> None:
    made = muster.done("webhook", "add", "https://hooks.example.org/in", "--json").json

    renewed = muster.done("webhook", "rotate", made["webhook_id"], "--json").json

    assert renewed["secret"] != made["secret"]
    assert "secret" not in muster.done("webhook", "get", made["webhook_id"], "--json").json


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("add", "ftp://example.org"), 1, "no target for a webhook"),
        (("add", "https://example.org", "--channel", "metrics"), 1, "volatile"),
        (("add", "https://example.org", "--label", "team"), 2, "--label wants key=value"),
        (("allow", "nonsense"), 5, ""),
        (("get", "01234567-0123-7123-8123-0123456789ab"), 5, ""),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    muster: Muster, arguments: tuple[str, ...], code: int, words: str
) -> None:
    said = muster("webhook", *arguments)

    assert said.code == code
    assert words in said.err
    assert said.err.count("\n") == 1
