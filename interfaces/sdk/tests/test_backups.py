from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from musterroll._decode import decode
from musterroll._request import Request
from musterroll._routes import backups
from musterroll.errors import Invalid, TimedOut, Unavailable
from musterroll.models import Backup, BackupJob, FormerStore, Restore, Store

PLAN = {
    "archive_id": "a",
    "position": 7,
    "time": "2026-11-23T07:00:00Z",
    "events": 7,
    "from_epoch": 1,
    "to_epoch": 2,
    "lost": {
        "events": 3,
        "after": "1:7",
        "first": "1:8",
        "first_type": "task.submitted",
        "first_at": "2026-11-23T12:00:00Z",
        "until": "1:10",
    },
    "bytes": 100,
    "estimate_seconds": 1.5,
    "into": "store_2",
}
BACKUP = {"id": "a", "type": "full"}


def body_of(request: Request[Any]) -> Any:
    assert request.content is not None
    return orjson.loads(request.content)


def test_a_restore_that_names_its_epoch_may_be_repeated() -> None:
    named = backups.restore("a", to_position=7, if_epoch=1)
    unnamed = backups.restore("a", to_time="2026-11-23T07:00:00Z")

    assert named.headers["If-Match"] == '"1"'
    assert named.retry_seconds is None
    assert body_of(named) == {"to_position": 7}
    assert "If-Match" not in unnamed.headers
    assert unnamed.retry_seconds == 0
    assert body_of(unnamed) == {"to_time": "2026-11-23T07:00:00Z"}


@pytest.mark.parametrize("position", [2**64, 10**30, -(10**30)])
def test_a_position_that_json_cannot_say_is_refused_before_it_is_sent(position: int) -> None:
    with pytest.raises(Invalid) as refused:
        backups.restore("a", to_position=position)

    assert refused.value.code == "bad_json"


def test_undoing_likewise() -> None:
    assert backups.undo_restore(if_epoch=2).headers["If-Match"] == '"2"'
    assert backups.undo_restore(if_epoch=2).retry_seconds is None
    assert backups.undo_restore().retry_seconds == 0


def test_a_plan_changes_nothing_and_is_read() -> None:
    request = backups.plan_restore("a/b")

    planned = request.parse({"plan": PLAN, "job": None})

    assert request.path == "/v1/backups/a%2Fb/restore"
    assert body_of(request) == {"dry_run": True}
    assert isinstance(planned, Restore)
    assert planned.job is None
    assert planned.plan.lost is not None
    assert (planned.plan.lost.events, planned.plan.lost.until) == (3, "1:10")
    assert planned.plan.lost.first_at == datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_waiting_asks_until_it_is_settled() -> None:
    waiting = backups.wait("a")

    asked = [next(waiting)]
    unsettled = [decode(Backup, {**BACKUP, "status": one}) for one in ("running", "stored")]
    asked.extend(map(waiting.send, unsettled))
    with pytest.raises(StopIteration) as ended:
        waiting.send(decode(Backup, {**BACKUP, "status": "verified"}))

    assert "wait" not in asked[0].query
    assert [request.query["wait"] for request in asked[1:]] == [30, 30]
    assert [request.wait_seconds for request in asked] == [0, 30, 30]
    assert ended.value.value.status == "verified"


def test_waiting_ends_with_patience() -> None:
    waiting = backups.wait_job("j", timeout_seconds=0)
    next(waiting)

    with pytest.raises(TimedOut, match="job j has not ended after 0 s"):
        waiting.send(decode(BackupJob, {"job_id": "j", "kind": "drill", "state": "running"}))


def test_a_store_and_what_was_put_aside_are_read() -> None:
    former = {"epoch": 1, "until": "2026-11-30T07:00:00Z"}
    payload = {"store_id": "s", "epoch": 2, "cursor": "2:9", "restored": None, "former": [former]}

    store = backups.store().parse(payload)

    assert isinstance(store, Store)
    assert isinstance(store.former[0], FormerStore)
    assert store.former[0].epoch == 1
    assert store.former[0].until is not None


def test_a_store_that_is_none_is_nobodys() -> None:
    with pytest.raises(Unavailable, match=r"not Musterroll's Store: \['epoch'\]"):
        backups.store().parse({"store_id": "s"})
