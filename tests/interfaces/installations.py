"""Two installations, each with a database and keys of its own, for what moves between them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any
from uuid import uuid4

import httpx
import orjson

from application.export.manifest import Manifest
from application.ids import uuid7
from infrastructure.seals.signer import Ed25519Signer
from tests.interfaces.service import PASSWORD, Service

NDJSON = "application/x-ndjson"
KIND = "review"


@dataclass(frozen=True)
class Place:
    """Somebody who may everything in a tenant of one installation."""

    service: Service
    client: httpx.Client
    tenant: str

    @property
    def signer(self) -> Ed25519Signer:
        """Who signs its exports."""
        return self.service.process._seals.signer  # type: ignore[return-value]

    @property
    def key_id(self) -> str:
        """The id of the key that its exports are signed with."""
        return self.signer.key_id

    def exported(self, *ids: str, **parameters: str) -> bytes:
        """A signed export, of some tasks and agents or of all."""
        query: dict[str, Any] = {"sign": "true", "aggregate_id": ids, **parameters}
        return self.client.get("/v1/events/export", params=query).raise_for_status().content

    def imports(self, content: bytes, **options: Any) -> httpx.Response:
        """What comes of taking in an export."""
        headers = {"Content-Type": NDJSON, **options.pop("headers", {})}
        return self.client.post(
            "/v1/events/import", content=content, headers=headers, params=options
        )

    def events(self, aggregate_id: str) -> list[dict[str, Any]]:
        """All events of a task or agent."""
        query: dict[str, str | int] = {"aggregate_id": aggregate_id, "limit": 1000}
        found: list[dict[str, Any]]
        found = self.client.get("/v1/events", params=query).raise_for_status().json()["items"]
        return found

    def task(self, task_id: str, **parameters: str) -> dict[str, Any]:
        """A task, as it is shown."""
        answer = self.client.get(f"/v1/tasks/{task_id}", params=parameters)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def submitted(self, **task: Any) -> str:
        """The id of a new task."""
        answer = self.client.post("/v1/tasks", json={"kind": KIND} | task)
        return str(answer.raise_for_status().json()["task_id"])

    @contextmanager
    def agent(self, name: str = "reviewer") -> Iterator[httpx.Client]:
        """A program that serves as an agent, heard of once; its base is the agent's own path."""
        made = self.client.post("/v1/agents", json={"name": name, "capabilities": [KIND]}).json()
        with self.service.machine(made["client_id"], made["client_secret"]) as worker:
            worker.base_url = httpx.URL(f"{self.service.url}/v1/agents/{made['agent_id']}")
            worker.post("/heartbeat", json={}).raise_for_status()
            yield worker


def leased(worker: httpx.Client) -> dict[str, Any]:
    """The next task of an agent."""
    body = {"slots": 1, "wait_seconds": 20}
    granted = worker.post("/leases", json=body, headers={"Idempotency-Key": uuid4().hex})
    (one,) = granted.raise_for_status().json()["leases"]
    found: dict[str, Any] = one
    return found


def reported(worker: httpx.Client, held: dict[str, Any], kind: str, **what: Any) -> str:
    """An agent's word on its attempt, which is taken; the cursor of it."""
    one = {"task_id": held["task_id"], "attempt": held["attempt"], "type": kind, **what}
    answer = worker.post("/reports", json={"reports": [one]}).raise_for_status()
    (outcome,) = answer.json()["outcomes"]
    assert "error" not in outcome, outcome
    return str(outcome["cursor"])


def agent_id_of(worker: httpx.Client) -> str:
    """Whose program it is."""
    return str(worker.base_url).rstrip("/").rpartition("/")[2]


@contextmanager
def a_tenant_of(*services: Service) -> Iterator[list[Place]]:
    """A new tenant that has the same name in each of these."""
    name = uuid4().hex
    user = {"username": name, "password": PASSWORD, "tenant": name, "scopes": ["admin"]}
    with ExitStack() as opened:
        places = []
        for service in services:
            with service.client() as admin:
                admin.post("/v1/users", json=user).raise_for_status()
            places.append(Place(service, opened.enter_context(service.client(name)), name))
        yield places


def lines_of(export: bytes) -> list[dict[str, Any]]:
    """The events of an export."""
    return [orjson.loads(line) for line in export.splitlines()[:-1]]


def signed_anew(events: list[Any], export: bytes, signer: Ed25519Signer) -> bytes:
    """Other events under a signed line that fits them, as whoever has the key can make it. Those
    that are bytes already stand as they are."""
    lines = [
        one if isinstance(one, bytes) else orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE)
        for one in events
    ]
    manifest = Manifest.parse(orjson.loads(export.splitlines()[-1])["manifest"])
    content = b"".join(lines)
    manifest = replace(manifest, count=len(lines), sha256=sha256(content).hexdigest())
    manifest = replace(manifest, key_id=signer.key_id)
    return content + manifest.line(signer.public_key, signer.sign(manifest.text))


def a_made_up_export(signer: Ed25519Signer, tasks: int) -> bytes:
    """Of so many tasks, each submitted and cancelled, in a log that never was."""
    log = uuid4()
    manifest = Manifest(
        log=str(log),
        tenant="default",
        after="1:0",
        until=f"1:{2 * tasks}",
        count=2 * tasks,
        sha256="",
        time="2026-11-23T12:00:00Z",
        key_id=signer.key_id,
    )
    events: list[Any] = []
    for number in range(tasks):
        task_id = str(uuid7())
        common = {
            "specversion": "1.0",
            "source": f"/musterroll/{log}",
            "subject": f"task/{task_id}",
            "time": "2026-11-23T12:00:00Z",
            "datacontenttype": "application/json",
            "actor": "user/ada",
            "commandid": str(uuid7()),
            "correlationid": task_id,
            "causationid": None,
            "traceparent": None,
        }
        submitted = {"type": "task.submitted", "data": A_SUBMISSION, "version": 1}
        cancelled = {"type": "task.cancelled", "data": {"reason": "enough"}, "version": 2}
        events.append({**common, **submitted, "id": f"1:{2 * number + 1}"})
        events.append({**common, **cancelled, "id": f"1:{2 * number + 2}"})
    last = manifest.line(signer.public_key, signer.sign(manifest.text))
    return signed_anew(events, last, signer)


A_SUBMISSION = {
    "tenant": "default",
    "kind": "review",
    "input": {"path": "a.py"},
    "requires": ["review"],
    "priority": 5,
    "max_attempts": 3,
    "timeout_seconds": 300,
    "not_before": None,
    "deadline": None,
    "labels": {},
    "parent_id": None,
    "root_id": None,
    "depth": 0,
    "approval": False,
    "subject_id": None,
}
