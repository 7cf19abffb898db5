"""Histories move between installations: whole, as they were, once, and under our own keys."""

import asyncio
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from application.export.manifest import BadExport, check
from application.imports import folding, lines
from domain.catalogue import EVENTS
from infrastructure.seals.signer import signed
from interfaces.http.event_schemas import ENVELOPE
from interfaces.http.schemas.imports import OWN_FIELDS
from musterroll import AsyncClient, Client
from tests.conftest import fresh_database
from tests.interfaces.installations import (
    Place,
    a_tenant_of,
    agent_id_of,
    leased,
    lines_of,
    reported,
    signed_anew,
)
from tests.interfaces.live import Subscriber, token_of
from tests.interfaces.muster import Muster
from tests.interfaces.service import Service

STAYS = ("type", "subject", "time", "data", "version", "actor", "commandid", "correlationid")
SUBJECT = "customer-4711"
CANARY = "Ada Lovelace, 10 December 1815"


@pytest.fixture(scope="module")
def installations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Service]]:
    with (
        fresh_database() as one,
        fresh_database() as other,
        Service(one, tmp_path_factory.mktemp("there")) as there,
        Service(other, tmp_path_factory.mktemp("here"), heartbeat_seconds=0.3) as here,
    ):
        yield there, here


@pytest.fixture
def places(installations: tuple[Service, Service]) -> Iterator[list[Place]]:
    with a_tenant_of(*installations) as places:
        yield places


def finished(place: Place, worker: httpx.Client, **task: object) -> str:
    """A task that was done."""
    task_id = place.submitted(**task)
    held = leased(worker)
    reported(worker, held, "started")
    reported(worker, held, "progress", fraction=0.5, message="half")
    reported(worker, held, "completed", result={"verdict": "fine"})
    return task_id


def stays(events: list[dict[str, object]]) -> list[list[object]]:
    return [[event[name] for name in STAYS] for event in events]


def test_a_task_and_its_agent_move_as_they_were(places: list[Place]) -> None:
    there, here = places
    with there.agent() as worker:
        task_id, agent_id = finished(there, worker, input={"n": 1}), agent_id_of(worker)
    export = there.exported(task_id, agent_id)

    answer = here.imports(export, trusted=there.key_id)

    assert answer.status_code == 200, answer.text
    done = answer.json()
    assert (done["events"], done["aggregates"], done["skipped"]) == (len(lines_of(export)), 2, 0)
    for one in (task_id, agent_id):
        assert stays(here.events(one)) == stays(there.events(one))
    shown, before = here.task(task_id, seen=done["cursor"]), there.task(task_id)
    changed = {"cursor"}
    assert {k: v for k, v in shown.items() if k not in changed} == {
        k: v for k, v in before.items() if k not in changed
    }
    assert here.client.get(f"/v1/agents/{agent_id}").json()["completed"] == 1


def test_what_is_here_already_is_skipped(places: list[Place]) -> None:
    there, here = places
    task_id = there.submitted()
    first = here.imports(there.exported(task_id), trusted=there.key_id).json()
    there.client.post(f"/v1/tasks/{task_id}/cancel", json={"reason": "enough"}).raise_for_status()

    again = here.imports(there.exported(task_id), trusted=there.key_id).json()
    once_more = here.imports(there.exported(task_id), trusted=there.key_id).json()

    assert (first["events"], first["skipped"]) == (1, 0)
    assert (again["events"], again["skipped"]) == (1, 1)
    assert (once_more["events"], once_more["skipped"]) == (0, 2)
    assert here.task(task_id, seen=again["cursor"])["status"] == "cancelled"


def test_an_import_under_one_key_gets_its_first_answer_again(places: list[Place]) -> None:
    there, here = places
    export, key = there.exported(there.submitted()), {"Idempotency-Key": uuid4().hex}
    other = there.exported(there.submitted())

    first = here.imports(export, trusted=there.key_id, headers=key)
    again = here.imports(export, trusted=there.key_id, headers=key)
    reused = here.imports(other, trusted=there.key_id, headers=key)

    assert first.json()["events"] == 1
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (first.json(), "true")
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")


def test_a_task_that_somebody_held_there_is_given_back_and_done_here(places: list[Place]) -> None:
    there, here = places
    with there.agent() as worker:
        task_id, agent_id = there.submitted(), agent_id_of(worker)
        held = leased(worker)
        reported(worker, held, "started")
        export = there.exported(task_id, agent_id)

    answer = here.imports(export, trusted=there.key_id).raise_for_status().json()

    assert here.task(task_id, seen=answer["cursor"])["status"] == "queued"
    released = here.events(task_id)[-1]
    assert (released["type"], released["actor"]) == ("task.released", f"user/{here.tenant}")
    assert released["correlationid"] == task_id
    with here.agent("another") as worker:
        again = leased(worker)
        assert (again["task_id"], again["attempt"]) == (task_id, 2)
        cursor = reported(worker, again, "completed", result=2)
    assert here.task(task_id, seen=cursor)["status"] == "completed"


def test_an_imported_agent_is_no_longer_online_and_gets_a_secret_here(places: list[Place]) -> None:
    there, here = places
    with there.agent() as worker:
        agent_id = agent_id_of(worker)
    here.imports(there.exported(agent_id), trusted=there.key_id).raise_for_status()

    secret = here.client.post(f"/v1/agents/{agent_id}/secret").raise_for_status().json()
    with here.service.machine(secret["client_id"], secret["client_secret"]) as worker:
        worker.base_url = httpx.URL(f"{here.service.url}/v1/agents/{agent_id}")
        worker.post("/heartbeat", json={}).raise_for_status()
        task_id = here.submitted()
        assert leased(worker)["task_id"] == task_id


def test_what_goes_on_in_both_places_is_refused(places: list[Place]) -> None:
    there, here = places
    task_id, other = there.submitted(), there.submitted()
    here.imports(there.exported(task_id), trusted=there.key_id).raise_for_status()
    there.client.post(f"/v1/tasks/{task_id}/cancel", json={"reason": "there"}).raise_for_status()
    here.client.post(f"/v1/tasks/{task_id}/cancel", json={"reason": "here"}).raise_for_status()

    answer = here.imports(there.exported(other, task_id), trusted=there.key_id)

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "history_differs")
    assert (problem["aggregate_id"], problem["version"]) == (task_id, 2)
    assert here.events(other) == []


def test_the_middle_of_a_history_is_refused_until_its_beginning_is_here(
    places: list[Place],
) -> None:
    there, here = places
    task_id = there.submitted()
    there.client.post(f"/v1/tasks/{task_id}/cancel").raise_for_status()
    second = there.events(task_id)[1]["id"]
    rest = there.exported(task_id, **{"from": second})
    first = there.exported(task_id, to=there.events(task_id)[0]["id"])

    refused = here.imports(rest, trusted=there.key_id)
    taken = [here.imports(part, trusted=there.key_id) for part in (first, rest)]

    assert (refused.status_code, refused.json()["code"]) == (409, "history_incomplete")
    assert refused.json()["version"] == 1
    assert [one.json()["events"] for one in taken] == [1, 1]


def test_only_those_are_believed_whose_key_is_trusted(places: list[Place]) -> None:
    there, here = places
    export = there.exported(there.submitted())

    unknown = here.imports(export)
    named_otherwise = here.imports(export, trusted="0" * 64)
    own = there.imports(export)

    for refused in (unknown, named_otherwise):
        assert (refused.status_code, refused.json()["code"]) == (422, "untrusted_key")
        assert refused.json()["key_id"] == there.key_id
    assert own.json()["skipped"] == 1


def test_tasks_of_unknown_agents_are_refused(places: list[Place]) -> None:
    there, here = places
    with there.agent() as worker:
        task_id, agent_id = finished(there, worker), agent_id_of(worker)

    answer = here.imports(there.exported(task_id), trusted=there.key_id)

    assert (answer.status_code, answer.json()["code"]) == (409, "agents_missing")
    assert answer.json()["agents"] == [agent_id]


def test_an_agent_moves_between_tenants_of_one_name_only(
    installations: tuple[Service, Service], places: list[Place]
) -> None:
    there, _ = places
    with there.agent() as worker:
        export = there.exported(agent_id_of(worker))

    with a_tenant_of(installations[1]) as (elsewhere,):
        answer = elsewhere.imports(export, trusted=there.key_id)

    assert (answer.status_code, answer.json()["code"]) == (409, "agent_id_differs")


def test_a_task_without_agents_moves_into_a_tenant_of_any_name(
    installations: tuple[Service, Service], places: list[Place]
) -> None:
    there, here = places
    task_id = there.submitted()
    export = there.exported(task_id)

    with a_tenant_of(installations[1]) as (elsewhere,):
        taken = elsewhere.imports(export, trusted=there.key_id)
        taken_twice = here.imports(export, trusted=there.key_id)
        assert elsewhere.events(task_id)[0]["data"]["tenant"] == elsewhere.tenant

    assert taken.json()["events"] == 1
    assert (taken_twice.status_code, taken_twice.json()["code"]) == (409, "id_taken")
    assert here.client.get(f"/v1/tasks/{task_id}").status_code == 404


def test_what_is_personal_is_sealed_under_our_own_keys(
    places: list[Place], installations: tuple[Service, Service]
) -> None:
    there, here = places
    task_id = there.submitted(subject=SUBJECT, input={"name": CANARY})
    there.client.post(f"/v1/tasks/{task_id}/cancel", json={"reason": CANARY}).raise_for_status()
    export = there.exported(task_id)
    pseudonym = lines_of(export)[0]["data"]["subject_id"]

    unknown = here.imports(export, trusted=there.key_id)
    named = {"trusted": there.key_id, "subject": f"{pseudonym}={SUBJECT}"}
    taken = here.imports(export, **named)
    again = here.imports(export, **named)

    assert (unknown.status_code, unknown.json()["code"]) == (409, "subjects_unknown")
    assert unknown.json()["subjects"] == [pseudonym]
    assert (taken.json()["events"], again.json()["skipped"]) == (2, 2)
    assert here.task(task_id, seen=taken.json()["cursor"])["input"] == {"name": CANARY}
    own = here.client.get(f"/v1/subjects/{SUBJECT}").raise_for_status().json()
    assert here.events(task_id)[0]["data"]["subject_id"] == own["subject_id"] != pseudonym
    assert CANARY not in str(here.service.process._writer._log.read(after=0, limit=10_000))

    here.client.post(f"/v1/subjects/{SUBJECT}/erase").raise_for_status()
    assert here.task(task_id)["input"] == "[erased]"
    assert here.imports(export, **named).json()["skipped"] == 2
    fresh = there.submitted(subject=SUBJECT, input=CANARY)
    late = here.imports(there.exported(fresh), **named)
    assert (late.status_code, late.json()["code"]) == (409, "subject_erased")


def test_of_whom_everything_was_erased_nobody_need_know_the_name(places: list[Place]) -> None:
    there, here = places
    task_id = there.submitted(subject=SUBJECT, input={"name": CANARY})
    there.client.post(f"/v1/subjects/{SUBJECT}/erase").raise_for_status()

    answer = here.imports(there.exported(task_id), trusted=there.key_id)

    assert answer.status_code == 200, answer.text
    assert here.task(task_id, seen=answer.json()["cursor"])["input"] == "[erased]"


def test_the_audit_trail_tells_of_an_import(places: list[Place]) -> None:
    there, here = places
    export = there.exported(there.submitted())

    done = here.imports(export, trusted=there.key_id).json()
    here.imports(export)

    trail = here.client.get("/v1/audit/trail", params={"type": "audit.commanded"}).json()["items"]
    refused, taken = (entry["data"] for entry in trail[:2])
    assert taken["route"] == "/v1/events/import"
    assert taken["about"]["events"] == "1"
    assert taken["about"]["cursor"] == done["cursor"]
    assert taken["about"]["key_id"] == there.key_id
    assert taken["about"]["log"] == str(there.service.process.store_id)
    assert refused["code"] == "untrusted_key"
    assert refused["about"]["sha256"] == taken["about"]["sha256"]


def test_only_an_administrator_imports(places: list[Place]) -> None:
    there, here = places
    body = {"name": "reader", "scopes": ["audit:read", "tasks:write", "agents:admin"]}
    made = here.client.post("/v1/clients", json=body).raise_for_status().json()

    with here.service.machine(made["client_id"], made["client_secret"]) as client:
        answer = client.post(
            "/v1/events/import",
            content=there.exported(there.submitted()),
            headers={"Content-Type": "application/x-ndjson"},
        )

    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


def test_a_family_moves_with_its_causes(places: list[Place]) -> None:
    there, here = places
    with there.agent() as worker:
        parent, agent_id = finished(there, worker), agent_id_of(worker)
        child = there.submitted(parent_id=parent)
        reported(worker, leased(worker), "completed", result=1)
    export = there.exported(parent, child, agent_id)

    done = here.imports(export, trusted=there.key_id).raise_for_status().json()

    here.task(child, seen=done["cursor"])
    submitted = here.events(child)[0]["id"]
    causes = here.client.get(f"/v1/events/{submitted}/causes").raise_for_status().json()
    told = [one["event"]["subject"] for one in causes["items"]]
    assert told[0] == f"task/{child}"
    assert f"task/{parent}" in told
    assert all(event["causationid"] is None for event in here.events(child))
    why = here.client.get(f"/v1/tasks/{child}/why").raise_for_status().json()
    assert all(step["decision"]["reproduced"] for step in why["steps"] if step["decision"])


def test_read_models_that_are_rebuilt_show_the_same(places: list[Place]) -> None:
    there, here = places
    with there.agent() as worker:
        ids = [finished(there, worker), finished(there, worker), agent_id_of(worker)]
    done = here.imports(there.exported(*ids), trusted=there.key_id).raise_for_status().json()
    here.task(ids[0], seen=done["cursor"])

    digests = []
    for model in here.service.process.upkeep.followed:
        assert model.stopped_before is None
        projector = model.projector
        live = projector._store.digest()
        projector.rebuild()
        digests.append((live, projector._store.digest()))

    assert len(digests) >= 3
    assert all(live == anew for live, anew in digests)
    counts = [place.client.get("/v1/tasks/counts").json()["counts"] for place in (there, here)]
    assert counts[0] == counts[1]
    assert counts[1]["completed"] == 2


def test_the_command_line_moves_a_history(
    places: list[Place],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    there, here = places
    monkeypatch.setenv("MUSTERROLL_DATA_DIR", str(tmp_path))
    source = Muster(there.service, monkeypatch, capsys)
    task_id = source.done("task", "submit", "review", "--subject", "ada").out.strip()
    file, other = tmp_path / "one.ndjson", tmp_path / "all.ndjson"
    source.done("events", "export", "--sign", "--task", task_id, "-o", str(file))
    source.done("events", "export", "--sign", "-o", str(other))
    unknown = source("events", "export", "--task", str(uuid4()))
    pseudonym = lines_of(file.read_bytes())[0]["data"]["subject_id"]

    target = Muster(here.service, monkeypatch, capsys)
    refused = target("events", "import", str(file))
    named = ("--trust", there.key_id, "--subject", f"{pseudonym}=ada")
    done = target.done("events", "import", str(file), *named)
    again = target.done("events", "import", str(file), *named, "--json").json
    entries = target("events", "import", str(other), *named)
    missing = target("events", "import", str(tmp_path / "nothing"))

    assert unknown.code == 5
    assert (refused.code, "which is not trusted" in refused.err) == (1, True)
    assert [line.split()[-1] for line in done.out.splitlines()[:3]] == ["1", "0", "1"]
    assert (again["events"], again["skipped"]) == (0, 1)
    assert (entries.code, "is no event of a task or an agent" in entries.err) == (1, True)
    assert missing.code == 5


def test_the_async_client_moves_a_history(places: list[Place]) -> None:
    there, here = places
    task_id = there.submitted()
    token = here.client.headers["Authorization"].removeprefix("Bearer ")
    with Client(there.service.url, token=token_of(there.client)) as client:
        export = b"".join(client.export(sign=True, of=[task_id]))

    async def move() -> dict[str, object]:
        async with AsyncClient(here.service.url, token=token) as client:
            return dict(await client.import_events(export, trusted=[there.key_id]))

    assert asyncio.run(move())["events"] == 1


def test_an_export_of_some_histories_says_so(places: list[Place]) -> None:
    there, _ = places
    first, second, _other = there.submitted(), there.submitted(), there.submitted()
    there.client.post(f"/v1/tasks/{first}/cancel").raise_for_status()

    export = there.exported(first, second)
    strangers = there.client.get("/v1/events/export", params={"aggregate_id": str(uuid4())})
    many = there.client.get("/v1/events/export", params={"aggregate_id": [first] * 91})

    subjects = [line["subject"].partition("/")[2] for line in lines_of(export)]
    assert subjects == [first, second, first]
    manifest = check(export.splitlines(keepends=True), signed)
    assert manifest.aggregates.split() == sorted([first, second])
    assert (strangers.status_code, strangers.json()["code"]) == (404, "not_found")
    assert (many.status_code, many.json()["code"]) == (422, "invalid_parameter")
    with pytest.raises(BadExport):
        check(export.replace(b'"aggregates":"', b'"aggregates":"x').splitlines(True), signed)


def test_every_event_of_tasks_and_agents_can_be_taken_in() -> None:
    """Who adds an event says here what of it is taken."""
    ours = {topic for topic in EVENTS if topic.startswith(("task.", "agent."))}
    own = {
        topic: {field.name for field in fields(EVENTS[topic])} - ENVELOPE for topic in OWN_FIELDS
    }

    assert set(OWN_FIELDS) == ours
    assert {topic: set(kind.model_fields) for topic, kind in OWN_FIELDS.items()} == own


def test_events_of_a_former_shape_are_taken_in_in_the_newest(places: list[Place]) -> None:
    there, here = places
    task_id = there.submitted()
    events = lines_of(there.exported(task_id))
    assert events[0]["data"].pop("subject_id") is None
    former = signed_anew(events, there.exported(task_id), there.signer)

    first = here.imports(former, trusted=there.key_id)
    again = here.imports(there.exported(task_id), trusted=there.key_id)

    assert (first.json()["events"], again.json()["skipped"]) == (1, 1)
    assert here.events(task_id)[0]["data"]["subject_id"] is None


def test_a_failure_is_not_taken_in_by_half(places: list[Place]) -> None:
    there, here = places
    with there.agent() as worker:
        task_id, agent_id = there.submitted(), agent_id_of(worker)
        held = leased(worker)
        error = {"code": "boom", "message": "It went wrong."}
        reported(worker, held, "failed", error=error, retryable=False)
    events = there.events(task_id)
    assert [one["type"] for one in events[-2:]] == ["task.attempt_failed", "task.failed"]

    half = here.imports(
        there.exported(task_id, agent_id, to=events[-2]["id"]), trusted=there.key_id
    )
    whole = here.imports(there.exported(task_id, agent_id), trusted=there.key_id)

    assert (half.status_code, half.json()["code"]) == (409, "history_incomplete")
    assert half.json()["version"] == events[-1]["version"]
    assert here.task(task_id, seen=whole.json()["cursor"])["error"] == error


def test_what_was_locked_there_is_not_taken_in(places: list[Place]) -> None:
    there, here = places
    task_id = there.submitted(subject=SUBJECT, input=CANARY)
    export = there.exported(task_id)
    (event,) = lines_of(export)
    event["data"]["input"] = "[locked]"
    subject = f"{event['data']['subject_id']}={SUBJECT}"

    answer = here.imports(
        signed_anew([event], export, there.signer), trusted=there.key_id, subject=subject
    )

    assert (answer.status_code, answer.json()["code"]) == (409, "export_locked")


@pytest.mark.parametrize(
    ("where", "name", "bound"),
    [
        (folding, "EVENTS_MAX", 1),
        (folding, "BYTES_MAX", 400),
        (lines, "LINES_MAX", 1),
        (lines, "AGGREGATES_MAX", 1),
    ],
)
def test_more_than_one_append_takes_is_refused(
    places: list[Place], monkeypatch: pytest.MonkeyPatch, where: object, name: str, bound: int
) -> None:
    there, here = places
    ids = [there.submitted(), there.submitted()]
    export = there.exported(*ids)

    with monkeypatch.context() as patched:
        patched.setattr(where, name, bound)
        answer = here.imports(export, trusted=there.key_id)

    assert (answer.status_code, answer.json()["code"]) == (422, "import_too_large")
    assert all(here.events(one) == [] for one in ids)
    assert here.imports(export, trusted=there.key_id).json()["events"] == 2


def test_one_import_of_a_tenant_is_under_way_at_a_time(places: list[Place]) -> None:
    there, here = places
    export = there.exported(there.submitted())

    with here.service.process.imports.under_way(here.tenant):
        refused = here.imports(export, trusted=there.key_id)
    taken = here.imports(export, trusted=there.key_id)

    assert (refused.status_code, refused.json()["code"]) == (503, "too_many_imports")
    assert refused.headers["Retry-After"] == "5"
    assert taken.json()["events"] == 1


def test_whoever_listens_and_whoever_dispatches_hears_of_an_import(places: list[Place]) -> None:
    there, here = places
    task_id = there.submitted()
    export = there.exported(task_id)
    with (
        here.agent() as worker,
        Subscriber(here.service, token_of(here.client)) as subscriber,
    ):
        subscriber.subscribe("tasks")
        here.imports(export, trusted=there.key_id).raise_for_status()

        frame = subscriber.until(lambda one: one["type"] == "event")[-1]
        held = leased(worker)

    assert (frame["event"]["subject"], held["task_id"]) == (f"task/{task_id}", task_id)
