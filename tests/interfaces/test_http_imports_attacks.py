"""Hostile exports, signed by a key that somebody trusts: refused by name, and nothing is recorded.

An administrator of a tenant says whose word counts, so a signature keeps nobody out: what a line
says is held to what a request may say.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from domain.agent import agent_id_of as agent_id_from
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
from tests.interfaces.service import Service

Events = list[Any]
Change = Callable[[Events], Any]
FUZZED = 300
DEEP: Any = []
for _ in range(80):
    DEEP = [DEEP]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Place]]:
    with (
        fresh_database() as one,
        fresh_database() as other,
        Service(one, tmp_path_factory.mktemp("there")) as there,
        Service(other, tmp_path_factory.mktemp("here")) as here,
        a_tenant_of(there, here) as places,
    ):
        yield places


@pytest.fixture(scope="module")
def export(places: list[Place]) -> bytes:
    """A task that failed once and was done then, and its agent."""
    there, _ = places
    with there.agent() as worker:
        task_id = there.submitted(input={"n": 1}, labels={"team": "a"})
        held = leased(worker)
        reported(worker, held, "started")
        reported(worker, held, "released")
        held = leased(worker)
        reported(worker, held, "progress", fraction=0.5, message="half")
        reported(worker, held, "completed", result={"verdict": "fine"})
        return there.exported(task_id, agent_id_of(worker))


def of(topic: str, change: Callable[[dict[str, Any]], Any]) -> Change:
    """A change of the first event of a topic."""
    return lambda events: change(next(one for one in events if one["type"] == topic))


def data(topic: str, **changes: Any) -> Change:
    """Other fields in the first event of a topic."""
    return of(topic, lambda event: event["data"].update(changes))


def envelope(topic: str, **changes: Any) -> Change:
    """Other members in it."""
    return of(topic, lambda event: event.update(changes))


def without(topic: str) -> Change:
    """It is not there, and nothing tells by its number that it is not."""

    def change(events: Events) -> None:
        gone = next(one for one in events if one["type"] == topic)
        events.remove(gone)
        for one in events:
            if one["subject"] == gone["subject"] and one["version"] > gone["version"]:
                one["version"] -= 1

    return change


def raw(topic: str, old: bytes, new: bytes) -> Change:
    """Other bytes in its line."""

    def change(events: Events) -> None:
        place = next(n for n, one in enumerate(events) if one["type"] == topic)
        line = orjson.dumps(events[place], option=orjson.OPT_APPEND_NEWLINE)
        assert old in line
        events[place] = line.replace(old, new, 1)

    return change


def moved(topic: str, to: int) -> Change:
    """It stands elsewhere in the order, under a cursor and a version that fit."""

    def change(events: Events) -> None:
        ids, one = [one["id"] for one in events], next(e for e in events if e["type"] == topic)
        events.remove(one)
        events.insert(to, one)
        versions: dict[str, int] = {}
        for event, cursor in zip(events, ids, strict=True):
            versions[event["subject"]] = versions.get(event["subject"], 0) + 1
            event["id"], event["version"] = cursor, versions[event["subject"]]

    return change


def doubled(events: Events) -> None:
    events.append({**events[-1], "id": "1:999999"})


def of_a_stranger(kind: str) -> Change:
    return lambda events: events.append(
        {**events[0], "id": "1:999999", "type": kind, "subject": f"task/{uuid4()}", "version": 1}
    )


def is_own_parent(events: Events) -> None:
    event = next(one for one in events if one["type"] == "task.submitted")
    task_id = event["subject"].partition("/")[2]
    event["data"].update(parent_id=task_id, root_id=task_id, depth=1)


def under_another_name(events: Events) -> None:
    data("agent.registered", name="somebody-else")(events)


GONE = {"type": "agent.went_offline", "data": {"last_heard_at": "2026-01-01T00:00:00Z"}}
SUBMITTED, ASSIGNED, DONE = "task.submitted", "task.assigned", "task.completed"
STRANGER = str(uuid4())
HOSTILE: dict[str, tuple[Change, str]] = {
    "a member twice": (raw(SUBMITTED, b'"version":1', b'"version":9,"version":1'), "bad_event"),
    "a field twice": (raw(SUBMITTED, b'"priority":5', b'"priority":6,"priority":5'), "bad_event"),
    "spaces": (raw(SUBMITTED, b":", b": "), "bad_event"),
    "a carriage return": (raw(SUBMITTED, b"\n", b"\r\n"), "bad_event"),
    "no JSON": (raw(SUBMITTED, b"{", b"["), "bad_event"),
    "a list": (lambda events: events.insert(0, b"[]\n"), "bad_event"),
    "an empty line": (lambda events: events.insert(0, b"\n"), "bad_event"),
    "an escaped letter": (raw(SUBMITTED, b"review", b"r\\u0065view"), "bad_event"),
    "NUL": (data(SUBMITTED, input="\0"), "bad_event"),
    "NUL in a key": (data(SUBMITTED, labels={"\0": "x"}), "bad_event"),
    "half a character": (raw(SUBMITTED, b"review", b"\\ud800"), "bad_event"),
    "no UTF-8": (raw(SUBMITTED, b"review", b"\xff"), "bad_event"),
    "a number beyond 64 bits": (raw(SUBMITTED, b'"n":1', b'"n":' + b"9" * 40), "bad_event"),
    "a number that is none": (raw(SUBMITTED, b'"n":1', b'"n":NaN'), "bad_event"),
    "a number beyond all": (raw(SUBMITTED, b'"n":1', b'"n":1e999'), "bad_event"),
    "too deep": (data(SUBMITTED, input=DEEP), "bad_event"),
    "too large": (data(SUBMITTED, input="x" * 300_000), "bad_event"),
    "another member": (envelope(SUBMITTED, extra=1), "bad_event"),
    "no member": (of(SUBMITTED, lambda event: event.pop("actor")), "bad_event"),
    "no type": (of(SUBMITTED, lambda event: event.pop("type")), "bad_event"),
    "a type of another type": (envelope(SUBMITTED, type=[SUBMITTED]), "bad_event"),
    "no data": (envelope(SUBMITTED, data=None), "bad_event"),
    "data in a list": (envelope(SUBMITTED, data=[]), "bad_event"),
    "another version of CloudEvents": (envelope(SUBMITTED, specversion="0.3"), "bad_event"),
    "another log": (envelope(SUBMITTED, source=f"/musterroll/{uuid4()}"), "bad_event"),
    "no log": (envelope(SUBMITTED, source="https://example.org"), "bad_event"),
    "another tenant": (data(SUBMITTED, tenant="default"), "bad_event"),
    "a cursor twice": (lambda events: events[1].update(id=events[0]["id"]), "bad_event"),
    "backwards": (lambda events: events.reverse(), "bad_event"),
    "no cursor": (envelope(SUBMITTED, id="first"), "bad_event"),
    "a task as an agent": (envelope(SUBMITTED, subject=f"agent/{uuid4()}"), "bad_event"),
    "no id": (envelope(SUBMITTED, subject="task/../../etc/passwd"), "bad_event"),
    "an id that no task has": (envelope(SUBMITTED, subject=f"task/{uuid4()}"), "bad_event"),
    "an unknown topic": (of_a_stranger("task.exploded"), "not_importable"),
    "the name of a module": (of_a_stranger("os:system"), "not_importable"),
    "an entry of the audit trail": (of_a_stranger("audit.read"), "not_importable"),
    "an erasure": (of_a_stranger("subject.erased"), "not_importable"),
    "an archive": (of_a_stranger("archive.stored"), "not_importable"),
    "a restore": (of_a_stranger("store.restored"), "not_importable"),
    "version 0": (envelope(SUBMITTED, version=0), "bad_event"),
    "a version below": (envelope(SUBMITTED, version=-1), "bad_event"),
    "a version as a text": (envelope(SUBMITTED, version="1"), "bad_event"),
    "a version beyond all": (envelope(DONE, version=2**70 // 2**10), "bad_event"),
    "a gap": (envelope(DONE, version=900), "history_incomplete"),
    "no beginning": (
        lambda e: e.remove(next(o for o in e if o["type"] == SUBMITTED)),
        "history_incomplete",
    ),
    "an event twice": (doubled, "bad_event"),
    "tomorrow": (envelope(DONE, time="2999-01-01T00:00:00Z"), "bad_event"),
    "before all": (envelope(SUBMITTED, time="1815-12-10T00:00:00Z"), "bad_event"),
    "no time": (envelope(SUBMITTED, time="now"), "bad_event"),
    "a time of nowhere": (envelope(SUBMITTED, time="2026-01-01T00:00:00"), "bad_event"),
    "a lease of nowhere": (data(ASSIGNED, lease_expires_at="2026-01-01T00:00:00"), "bad_event"),
    "a lease for ever": (data(ASSIGNED, lease_expires_at="9999-12-31T23:59:59Z"), "bad_event"),
    "a priority of its own": (data(SUBMITTED, priority=99), "bad_event"),
    "a priority beyond a column": (data(SUBMITTED, priority=2**40), "bad_event"),
    "attempts without end": (data(SUBMITTED, max_attempts=2**40), "bad_event"),
    "a text for a number": (data(SUBMITTED, timeout_seconds="300"), "bad_event"),
    "labels without end": (data(SUBMITTED, labels={str(n): "x" for n in range(99)}), "bad_event"),
    "a kind with spaces": (data(SUBMITTED, kind="a b"), "bad_event"),
    "a field that is not there": (of(SUBMITTED, lambda e: e["data"].pop("kind")), "bad_event"),
    "a field too many": (data(SUBMITTED, class_version=1), "bad_event"),
    "an aggregate of its own": (data(SUBMITTED, originator_topic="os:system"), "bad_event"),
    "an actor with a line end": (envelope(SUBMITTED, actor="user/a\nb"), "bad_event"),
    "an actor turned around": (envelope(SUBMITTED, actor="user/a\u202eb"), "bad_event"),
    "an actor of no sort": (envelope(SUBMITTED, actor="root"), "bad_event"),
    "a long actor": (envelope(SUBMITTED, actor="user/" + "x" * 500), "bad_event"),
    "a command that is none": (envelope(SUBMITTED, commandid="x"), "bad_event"),
    "another family": (envelope(SUBMITTED, correlationid=STRANGER), "bad_event"),
    "a cause that is none": (envelope(SUBMITTED, causationid="x"), "bad_event"),
    "a trace that is none": (envelope(SUBMITTED, traceparent="00-x"), "bad_event"),
    "its own parent": (is_own_parent, "bad_event"),
    "an ancestor without a parent": (data(SUBMITTED, root_id=STRANGER), "bad_event"),
    "generations without end": (data(SUBMITTED, depth=10_000), "bad_event"),
    "assigned before it is there": (moved(ASSIGNED, 0), "bad_event"),
    "assigned twice": (without("task.released"), "bad_event"),
    "done by nobody": (without(ASSIGNED), "bad_event"),
    "done by another": (data(DONE, agent_id=STRANGER), "bad_event"),
    "another attempt": (data(DONE, attempt=7), "bad_event"),
    "attempt 0": (data(DONE, attempt=0), "bad_event"),
    "attempts that are left out": (data(ASSIGNED, attempt=2), "bad_event"),
    "a winner who did not get it": (
        of(ASSIGNED, lambda event: event["data"]["decision"].update(winner=STRANGER)),
        "bad_event",
    ),
    "nobody to choose from": (
        of(ASSIGNED, lambda event: event["data"]["decision"].update(candidates=[])),
        "bad_event",
    ),
    "a seed beyond 64 bits": (
        of(ASSIGNED, lambda event: event["data"]["decision"].update(seed=2**64 - 1)),
        "bad_event",
    ),
    "more than all of it": (data("task.progressed", fraction=7), "bad_event"),
    "an agent of another name": (under_another_name, "agent_id_differs"),
    "slots beyond a column": (data("agent.registered", slots=2**40), "bad_event"),
    "an agent that can do nothing": (data("agent.registered", capabilities=[]), "bad_event"),
    "back from where it was not": (
        envelope("agent.came_online", type="agent.resumed"),
        "bad_event",
    ),
    "offline before it came": (
        of("agent.came_online", lambda event: event.update(GONE)),
        "bad_event",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_export_is_refused_by_name(places: list[Place], export: bytes, name: str) -> None:
    there, here = places
    change, code = HOSTILE[name]
    events = lines_of(export)
    change(events)

    answer = here.imports(signed_anew(events, export, there.signer), trusted=there.key_id)

    assert answer.json().get("code") == code, answer.text
    assert answer.json()["status"] in (409, 422)
    assert len(answer.content) < 2_000
    for one in lines_of(export):
        assert here.events(one["subject"].partition("/")[2]) == []


def test_what_is_of_another_tenant_cannot_be_reached(places: list[Place], export: bytes) -> None:
    there, here = places
    with a_tenant_of(here.service) as (neighbour,), neighbour.agent() as worker:
        task_id, agent_id = neighbour.submitted(subject="ada", input=1), agent_id_of(worker)
        theirs = neighbour.events(task_id)[0]

        def taken(change: Change) -> str:
            events = lines_of(export)
            change(events)
            content = signed_anew(events, export, there.signer)
            answer = here.imports(content, trusted=there.key_id)
            assert answer.status_code in (409, 422)
            return str(answer.json()["code"])

        own = next(one for one in lines_of(export) if one["type"] == SUBMITTED)
        alone = {**own, "subject": f"task/{task_id}", "correlationid": task_id}
        child = {"parent_id": task_id, "root_id": task_id, "depth": 1}
        about = {"subject_id": theirs["data"]["subject_id"], "input": "[erased]"}

        def given_to(events: Events) -> None:
            for one in events:
                data = one["data"]
                if "decision" in data:
                    data["decision"]["winner"] = agent_id
                if "agent_id" in data:
                    data["agent_id"] = agent_id

        assert taken(lambda events: events.__setitem__(slice(None), [alone])) == "id_taken"
        assert taken(data(SUBMITTED, **child)) == "id_taken"
        family = [{**own, "correlationid": task_id, "data": own["data"] | child}]
        assert taken(lambda events: events.__setitem__(slice(None), family)) == "id_taken"
        assert taken(given_to) == "id_taken"
        assert taken(data(SUBMITTED, **about)) == "subjects_unknown"
        assert neighbour.task(task_id)["version"] == 1


@pytest.mark.parametrize(
    ("content", "options", "status", "code"),
    [
        (b"", {}, 422, "bad_export"),
        (b"{}\n", {}, 422, "bad_export"),
        (b"\0" * 100_000, {}, 422, "bad_export"),
        (b"\n" * 100_000, {}, 422, "bad_export"),
        (b'{"manifest":{},"public_key":"","signature":""}\n', {}, 422, "bad_export"),
        (b"x", {"headers": {"Content-Type": "application/json"}}, 415, "unsupported_media_type"),
        (b"x", {"headers": {"Content-Encoding": "gzip"}}, 415, "unsupported_media_type"),
        (b"x" * (33 * 2**20), {}, 413, "body_too_large"),
        (b"x", {"trusted": "yes"}, 422, "invalid_parameter"),
        (b"x", {"trusted": ["0" * 64] * 21}, 422, "invalid_parameter"),
        (b"x", {"subject": "ada"}, 422, "invalid_parameter"),
        (b"x", {"subject": f"{STRANGER}=a b"}, 422, "invalid_parameter"),
        (b"x", {"tenant": "default"}, 422, "unknown_parameter"),
    ],
)
def test_what_is_no_export_is_refused(
    places: list[Place], content: bytes, options: dict[str, Any], status: int, code: str
) -> None:
    _, here = places

    answer = here.imports(content, **options)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_what_was_changed_behind_the_signature_is_refused(
    places: list[Place], export: bytes, rng: Random
) -> None:
    there, here = places
    lines = export.splitlines(keepends=True)
    wrong = [b"".join(lines[:-1]), b"".join(lines[1:]), export + lines[-1], export[:-1]]
    for _ in range(40):
        place, bit = rng.randrange(len(export)), 1 << rng.randrange(8)
        wrong.append(export[:place] + bytes([export[place] ^ bit]) + export[place + 1 :])

    for content in wrong:
        answer = here.imports(content, trusted=there.key_id)
        assert answer.json()["code"] in {"bad_export", "untrusted_key"}, answer.text


VALUES: list[Any] = [
    None, True, 0, -1, 2**31, 2**63 - 1, 0.5, -0.0, "", "x" * 300, "\u202e", "1:1", [], {}, [[]],
    {"a": None}, str(uuid4()), "1970-01-01T00:00:00Z", "2999-12-31T23:59:59.999999Z", "[erased]",
    "[locked]", "$sealed:1:" + "0" * 32 + ":AAAA",
]  # fmt: skip


def test_whatever_stands_in_a_signed_export_nothing_breaks(
    places: list[Place], export: bytes, rng: Random
) -> None:
    """Values anywhere, lines left out, doubled, swapped: each is refused, or taken in and shown."""
    there, here = places
    statuses = set()
    for number in range(FUZZED):
        events = renamed(lines_of(export), here.tenant, f"agent-{number}")
        for _ in range(rng.randrange(1, 3)):
            mangle(events, rng)
        content = signed_anew(events, export, there.signer)
        answer = here.imports(content, trusted=there.key_id)
        statuses.add(answer.status_code)
        assert answer.status_code in (200, 409, 422), answer.text

    for model in here.service.process.upkeep.followed:
        assert model.stopped_before is None
    assert {200, 422} <= statuses
    counts = here.client.get("/v1/tasks/counts", params={"seen": here_now(here)})
    assert counts.raise_for_status().json()["counts"]["completed"] >= 1
    assert here.client.get("/readyz").status_code == 200
    assert here.client.get("/v1/state").status_code == 200
    what_if = here.client.post("/v1/history/whatif", json={"policy": "least_outstanding"})
    assert what_if.status_code == 200, what_if.text
    for card in here.client.get("/v1/tasks", params={"limit": 200}).json()["items"]:
        for path in ("why", "history"):
            assert here.client.get(f"/v1/tasks/{card['id']}/{path}").status_code == 200


def here_now(here: Place) -> str:
    task_id = here.submitted()
    return str(here.events(task_id)[0]["id"])


def renamed(events: Events, tenant: str, name: str) -> Events:
    """The same story of another task and another agent."""
    agent = next(one for one in events if one["type"] == "agent.registered")
    old_agent = agent["subject"].partition("/")[2]
    old_task = next(one for one in events if one["type"] == SUBMITTED)["correlationid"]
    fresh = UUID(int=UUID(old_task).int ^ uuid4().int >> 96)
    text = orjson.dumps(events).decode()
    text = text.replace(old_agent, str(agent_id_from(tenant, name)))
    text = text.replace(old_task, str(fresh)).replace('"name":"reviewer"', f'"name":"{name}"')
    found: Events = orjson.loads(text)
    return found


def mangle(events: Events, rng: Random) -> None:
    """One small wrong."""
    match rng.randrange(6):
        case 0:
            events.pop(rng.randrange(len(events)))
        case 1:
            place = rng.randrange(len(events))
            events.insert(place, deepcopy(events[place]))
        case 2:
            one, other = rng.randrange(len(events)), rng.randrange(len(events))
            events[one], events[other] = events[other], events[one]
        case _:
            target = rng.choice(events)
            while True:
                name = rng.choice(list(target))
                if isinstance(target[name], dict) and target[name] and rng.random() < 0.8:
                    target = target[name]
                    continue
                target[name] = rng.choice(VALUES)
                break
