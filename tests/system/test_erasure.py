"""Goal: what is personal is nowhere in clear but in answers, and nowhere at all once it is erased.

Method: a canary goes into a real service with its own PostgreSQL by every way in. It is looked for
in every answer, stream, delivery, table, log line and file, before the erasure, after it, and after
a stop and a start. The seals verify all the while.
"""

import json
import subprocess
import sys
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import psycopg
import pytest

from infrastructure.postgres.embedded import EmbeddedPostgres
from interfaces.http.metrics import RequestMetrics
from interfaces.http.routes import table
from tests.interfaces.live import Subscriber, token_of
from tests.receiver import Receiver
from tests.system.service import ROOT, ServiceProcess

CANARY = "Ada-Lovelace-was-born-on-10-December-1815"
CONTROL = "Charles-Babbage-26-December-1791"
"""Of nobody's, and so in clear: it shows that what is looked for is found."""
SUBJECT = "ada-augusta-king-of-lovelace"
ERASED = "[erased]"
NOT_READ_HERE = {"/v1/stream", "/v1/audit/proof"}
"""The one has no end, and is read by itself; the other is hashes, once the sealer came round."""
TELLS = {
    "/v1/tasks",
    "/v1/tasks/{task_id}",
    "/v1/tasks/{task_id}/status",
    "/v1/tasks/{task_id}/history",
    "/v1/tasks/{task_id}/diff",
    "/v1/tasks/{task_id}/why",
    "/v1/state",
    "/v1/activity",
    "/v1/events",
    "/v1/events/export",
    "/v1/events/{position}/causes",
    "/v1/events/{position}/effects",
}
"""Where something of it is shown to whoever may read the task."""


@dataclass
class Story:
    """A service in which everything has happened that may be personal, and how to look at it."""

    service: ServiceProcess
    admin: httpx.Client
    receiver: Receiver
    tasks: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def answers(self) -> dict[str, str]:
        """What every GET of the route table answers about it, by path."""
        found: dict[str, str] = {}
        for operation in table(RequestMetrics()):
            if operation.method != "GET" or operation.path in NOT_READ_HERE:
                continue
            for task_id in self.tasks if "{task_id}" in operation.path else [""]:
                path = operation.path.format(**self.names, task_id=task_id)
                answer = self.admin.get(path, params=parameters_of(operation.path))
                assert answer.status_code < 400, (path, answer.text)
                found[operation.path] = found.get(operation.path, "") + answer.text
        head = self.admin.get("/v1/events", params={"limit": 1000}).json()["next_cursor"]
        for task_id in self.tasks:
            for path in (f"/v1/tasks/{task_id}", f"/v1/tasks/{task_id}/status"):
                found["at"] = found.get("at", "") + self.admin.get(path, params={"at": head}).text
        return found

    def frames(self) -> str:
        """What a subscriber gets over WebSocket and SSE, from the beginning, with a snapshot; and
        who listens to a replay."""
        with Subscriber(cast("Any", self.service), token_of(self.admin)) as subscriber:
            told = subscriber.subscribe("tasks", after="start")
            told += subscriber.subscribe("tasks", snapshot=True)
        with Subscriber(cast("Any", self.service), token_of(self.admin)) as subscriber:
            body = {"from": "1:1", "speed": 1000, "gap_seconds_max": 0.01}
            made = self.admin.post("/v1/replays", json=body).raise_for_status().json()
            subscriber.say(type="subscribe", channels=[made["channel"]])
            told += subscriber.until(lambda frame: frame.get("data", {}).get("kind") == "end")
        return json.dumps(told) + self._server_sent()

    def delivered(self) -> str:
        """What a webhook is posted that begins at the beginning."""
        known = len(self.receiver.taken)
        body = {"url": self.receiver.url, "channels": ["tasks"], "after": "start"}
        made = self.admin.post("/v1/webhooks", json=body).raise_for_status().json()
        self.admin.post(f"/v1/webhooks/{made['webhook_id']}/allow").raise_for_status()
        page = self.admin.get("/v1/events", params={"limit": 1000}).json()["items"]
        wanted = [event["id"] for event in page if event["type"].startswith("task.")]
        self.receiver.wait_until(lambda: len(self.receiver.taken) >= known + len(wanted))
        self.admin.delete(f"/v1/webhooks/{made['webhook_id']}").raise_for_status()
        return "".join(one.body.decode() for one in self.receiver.taken[known:])

    def _server_sent(self) -> str:
        text = ""
        wanted = {"channels": "tasks", "after": "start"}
        with self.admin.stream("GET", "/v1/stream", params=wanted) as answer:
            for line in answer.iter_lines():
                text += line
                if line == "event: caught_up":
                    return text
        raise AssertionError("it ended")


def parameters_of(path: str) -> dict[str, Any]:
    """What makes a query tell as much as it can."""
    found: dict[str, dict[str, Any]] = {
        "/v1/events": {"limit": 1000},
        "/v1/events/export": {"from": "1:1", "sign": "true"},
        "/v1/tasks/{task_id}/diff": {"from": "v1"},
        "/v1/agents/{agent_id}/diff": {"from": "v1"},
    }
    return found.get(path, {})


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    settings = {"webhook_private_targets": "true", "log_level": "debug", "seal_seconds": "0.1"}
    with (
        ServiceProcess(tmp_path / "data", **settings) as service,
        Receiver() as receiver,
        service.client() as admin,
    ):
        story = Story(service, admin, receiver)
        happen(story)
        yield story


def happen(story: Story) -> None:
    """Tasks that wait, are done, fail and are cancelled, with the canary wherever it can be."""
    admin = story.admin
    made = admin.post("/v1/agents", json={"name": "r", "capabilities": ["review"]}).json()
    story.names |= {"agent_id": made["agent_id"], "subject": SUBJECT, "code": "not_found"}
    form = {"grant_type": "client_credentials", **{k: made[k] for k in ("client_id",)}}
    form["client_secret"] = made["client_secret"]
    token = httpx.post(f"{story.service.url}/v1/oauth/token", data=form).json()["access_token"]
    body = {"kind": "review", "subject": SUBJECT, "input": {"name": [CANARY]}, "max_attempts": 1}
    with httpx.Client(
        base_url=f"{story.service.url}/v1/agents/{made['agent_id']}",
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    ) as worker:
        worker.post("/heartbeat", json={}).raise_for_status()
        for kind, what in (
            ("completed", {"result": {"name": CANARY}}),
            ("failed", {"error": {"code": "boom", "message": f"no {CANARY}"}, "retryable": False}),
        ):
            admin.post("/v1/tasks", json=body).raise_for_status()
            answer = worker.post("/leases", json={"slots": 1, "wait_seconds": 20})
            [lease] = answer.raise_for_status().json()["leases"]
            assert lease["input"] == {"name": [CANARY]}
            one = {"task_id": lease["task_id"], "attempt": lease["attempt"]}
            progress = one | {"type": "progress", "fraction": 0.5, "message": f"half of {CANARY}"}
            reports = [progress, one | {"type": kind} | what]
            worker.post("/reports", json={"reports": reports}).raise_for_status()
            story.tasks.append(lease["task_id"])
    admin.post("/v1/tasks", json={"kind": "other", "input": CONTROL}).raise_for_status()
    for verb in ("cancel", "reject"):
        answer = admin.post("/v1/tasks", json=body | {"approval": True}).raise_for_status()
        task_id = answer.json()["task_id"]
        admin.post(f"/v1/tasks/{task_id}/{verb}", json={"reason": f"because of {CANARY}"})
        story.tasks.append(task_id)
    [assigned, _] = admin.get("/v1/events", params={"type": "task.assigned"}).json()["items"]
    story.names["position"] = assigned["id"]
    replay = admin.post("/v1/replays", json={"from": "1:1"}).raise_for_status().json()
    story.names["replay_id"] = replay["replay_id"]
    hook = {"url": story.receiver.url, "channels": ["tasks"]}
    webhook = admin.post("/v1/webhooks", json=hook).raise_for_status().json()
    story.names["webhook_id"] = webhook["webhook_id"]
    backup = admin.post("/v1/backups", json={"type": "full"}).raise_for_status().json()
    story.names["backup_id"] = backup["backup_id"]
    name_a_job(story, admin)


def name_a_job(story: Story, admin: httpx.Client) -> None:
    """What would expire is looked for, as soon as no other job is under way."""
    deadline = time.monotonic() + 30
    while (answer := admin.post("/v1/backups/expire", json={"dry_run": True})).status_code == 409:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    story.names["job_id"] = answer.raise_for_status().json()["job_id"]


def spellings(text: str) -> list[bytes]:
    """As it is, and as base64 and hexadecimal would hide it."""
    plain = text.encode()
    found = [plain, plain.hex().encode(), plain.decode().encode("utf-16-le")]
    for encode in (b64encode, urlsafe_b64encode):
        # Of each place in a group of three, what does not depend on the neighbours.
        found += [encode(b"\0" * lead + plain)[lead and 4 : -4] for lead in range(3)]
    return found


def files_with(text: str, folder: Path) -> list[Path]:
    """The files that hold it, those of PostgreSQL and its write-ahead log among them."""
    wanted = spellings(text)
    files = [path for path in folder.parent.rglob("*") if path.is_file()]
    assert any("pg_wal" in path.parts for path in files)
    return [path for path in files if holds(path, wanted)]


def holds(path: Path, wanted: list[bytes]) -> bool:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    return any(spelling in content for spelling in wanted)


def tables_with(text: str, folder: Path) -> list[str]:
    """The tables of which a row holds it."""
    wanted = [spelling.decode("latin-1") for spelling in spellings(text)]
    with psycopg.connect(EmbeddedPostgres(folder / "postgres").owner_url) as connection:
        connection.execute("SET search_path = musterroll; SET bytea_output = 'escape'")
        names = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        )
        found = []
        for (name,) in names.fetchall():
            rows = connection.execute(f'SELECT t::text FROM "{name}" AS t').fetchall()
            if any(spelling in row for (row,) in rows for spelling in wanted):
                found.append(str(name))
    return found


def test_what_is_erased_is_nowhere_and_what_is_not_is_only_in_answers(story: Story) -> None:
    data = story.service.data_dir
    before = story.answers()
    live = story.frames(), story.delivered()
    in_tables, in_files = tables_with(CANARY, data), files_with(CANARY, data)

    story.admin.post(f"/v1/subjects/{SUBJECT}/erase").raise_for_status()

    after = story.answers() | {"frames": story.frames(), "webhook": story.delivered()}
    assert {path for path, text in before.items() if CANARY in text} == {*TELLS, "at"}
    assert all(CANARY in text for text in live)
    assert (in_tables, in_files) == ([], [])
    assert {"events", "task_board"} <= set(tables_with(CONTROL, data))
    assert files_with(CONTROL, data)
    assert [path for path, text in after.items() if CANARY in text or "$sealed" in text] == []
    assert {path for path, text in after.items() if ERASED in text} >= {*TELLS, "frames", "webhook"}
    assert (tables_with(CANARY, data), files_with(CANARY, data)) == ([], [])
    assert (tables_with(SUBJECT, data), files_with(SUBJECT, data)) == ([], [])
    assert verified(story)["sealed"] > 0
    restarted(story, check=lambda text: CANARY not in text and "$sealed" not in text)
    assert files_with(CANARY, data) == []


def verified(story: Story) -> dict[str, Any]:
    """What `muster audit verify` finds, which must be nothing wrong."""
    program = [sys.executable, "-m", "interfaces.cli.main", "audit", "verify", "--json"]
    done = subprocess.run(
        [*program, "--data-dir", str(story.service.data_dir)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def restarted(story: Story, *, check: Callable[[str], bool]) -> None:
    """Stop, look at the files as they rest, start, and read everything again."""
    story.service.stop()
    assert files_with(CANARY, story.service.data_dir) == []
    story.service.start()
    del story.names["replay_id"]
    with story.service.client() as admin:
        again = Story(story.service, admin, story.receiver, story.tasks, story.names)
        replay = admin.post("/v1/replays", json={"from": "1:1"}).raise_for_status().json()
        story.names["replay_id"] = replay["replay_id"]
        hook = {"url": story.receiver.url, "channels": ["tasks"]}
        story.names["webhook_id"] = admin.post("/v1/webhooks", json=hook).json()["webhook_id"]
        name_a_job(story, admin)
        texts = again.answers() | {"frames": again.frames()}
    assert [path for path, text in texts.items() if not check(text)] == []
