"""Incident replay: the recorded events again, with their timing, to who asked and nobody else."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest

from application.replays import replay as playing
from application.replays import replays
from musterroll import AsyncClient, Client
from musterroll.errors import Unavailable
from tests.interfaces.live import Frame, Subscriber, a_tenant, submitted, token_of
from tests.interfaces.muster import Muster
from tests.interfaces.service import PASSWORD, Service

SECONDS_MAX = 10
PAUSE_SECONDS = 0.4


@pytest.fixture
def tenant(shared_service: Service, shared_admin: httpx.Client) -> Iterator[httpx.Client]:
    with a_tenant(shared_service, shared_admin) as tenant:
        yield tenant


@pytest.fixture
def watcher(shared_service: Service, tenant: httpx.Client) -> Iterator[Subscriber]:
    with Subscriber(shared_service, token_of(tenant)) as watcher:
        yield watcher


def opened(client: httpx.Client, **wanted: Any) -> dict[str, Any]:
    body = {"from": first_of(client), "speed": 1000} | wanted
    made: dict[str, Any] = client.post("/v1/replays", json=body).raise_for_status().json()
    return made


def first_of(client: httpx.Client) -> str:
    page = client.get("/v1/events", params={"limit": "1"}).raise_for_status().json()
    cursor: str = page["items"][0]["id"]
    return cursor


def last_of(client: httpx.Client, kind: str = "task.submitted") -> str:
    events = client.get("/v1/events", params={"limit": "1000", "type": kind}).json()["items"]
    cursor: str = events[-1]["id"]
    return cursor


def submitted_over_a_while(client: httpx.Client) -> tuple[str, str]:
    """The cursors of two submissions, PAUSE_SECONDS or more apart: what is played has to have had a
    timing."""
    submitted(client)
    wanted = {"type": "task.submitted", "limit": "1000"}
    first = client.get("/v1/events", params=wanted).raise_for_status().json()["items"][-1]
    due_at = datetime.fromisoformat(first["time"]) + timedelta(seconds=PAUSE_SECONDS)
    while datetime.now(UTC) < due_at:
        # Nothing of this is recorded.
        client.get("/healthz").raise_for_status()
    submitted(client)
    return first["id"], last_of(client)


def shown(client: httpx.Client, replay: dict[str, Any]) -> dict[str, Any]:
    answer = client.get(f"/v1/replays/{replay['replay_id']}").raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def tell(client: httpx.Client, replay: dict[str, Any], verb: str, **body: Any) -> dict[str, Any]:
    answer = client.post(f"/v1/replays/{replay['replay_id']}/{verb}", json=body)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def played(watcher: Subscriber, replay: dict[str, Any], *, subscribe: bool = True) -> list[Frame]:
    """What comes over a replay's channel up to its end."""
    if subscribe:
        watcher.subscribe(replay["channel"])
    frames = watcher.until(lambda frame: frame.get("data", {}).get("kind") == "end")
    assert {frame["type"] for frame in frames} == {"replay"}, frames
    assert {frame["channel"] for frame in frames} == {replay["channel"]}
    return [frame["data"] for frame in frames]


def test_the_recorded_events_come_again_as_they_were_recorded(
    tenant: httpx.Client, watcher: Subscriber
) -> None:
    for _ in range(5):
        submitted(tenant)
    last = last_of(tenant)
    replay = opened(tenant, to=last)

    begin, *events, end = played(watcher, replay)

    log = tenant.get("/v1/events", params={"until": last, "limit": "1000"}).json()["items"]
    assert [one["event"] for one in events] == log
    assert [one["number"] for one in events] == list(range(1, len(log) + 1))
    assert (begin["kind"], begin["from"], begin["to"]) == ("begin", replay["from"], replay["to"])
    assert begin["to"]["cursor"] == last
    assert end == {"kind": "end", "reason": "played", "played": len(log)}


def test_two_runs_are_identical(tenant: httpx.Client, watcher: Subscriber) -> None:
    for _ in range(20):
        submitted(tenant)
    stretch = {"from": first_of(tenant), "to": last_of(tenant)}

    first = played(watcher, opened(tenant, **stretch))
    submitted(tenant)
    second = played(watcher, opened(tenant, **stretch))

    assert first[1:] == second[1:]
    assert first[0] | {"replay_id": ""} == second[0] | {"replay_id": ""}


def test_nobody_who_watches_what_happens_gets_any_of_it(
    shared_service: Service, tenant: httpx.Client, watcher: Subscriber
) -> None:
    for _ in range(3):
        submitted(tenant)
    replay = opened(tenant, to=last_of(tenant))

    with Subscriber(shared_service, token_of(tenant)) as live:
        live.subscribe("tasks", "agents", "collaborations", "metrics")
        played(watcher, replay)
        silence = [frame for frame in live.pong() if frame["type"] not in {"metrics", "position"}]
        task_id = submitted(tenant)
        frames = live.until(lambda frame: frame["type"] == "event")

    assert silence == []
    assert frames[-1]["event"]["subject"] == f"task/{task_id}"
    assert watcher.pong() == [], "a replay brings nothing that happens now"


def test_it_takes_its_time_by_its_speed(tenant: httpx.Client, watcher: Subscriber) -> None:
    first, last = submitted_over_a_while(tenant)
    stretch = {"from": first, "to": last}

    def seconds(**wanted: Any) -> float:
        replay = opened(tenant, **stretch, **wanted)
        began = time.monotonic()
        played(watcher, replay)
        return time.monotonic() - began

    assert seconds(speed=1) >= PAUSE_SECONDS * 0.9
    assert seconds(speed=100) < PAUSE_SECONDS
    assert seconds(speed=1, gap_seconds_max=0.01) < PAUSE_SECONDS
    assert seconds(speed=0.5, gap_seconds_max=0.2) >= 0.36


def test_it_waits_for_somebody_and_stands_still_while_nobody_listens(
    shared_service: Service, tenant: httpx.Client, watcher: Subscriber
) -> None:
    for _ in range(10):
        submitted(tenant)
    replay = opened(tenant, speed=1000, to=last_of(tenant))
    assert replay["state"] == shown(tenant, replay)["state"] == "waiting"

    tell(tenant, replay, "step", events=3)
    with Subscriber(shared_service, token_of(tenant)) as first:
        first.subscribe(replay["channel"])
        seen = [first.next()["data"] for _ in range(4)]
    tell(tenant, replay, "play")
    until_waiting(tenant, replay)
    rest = played(watcher, replay)

    assert [one["number"] for one in seen[1:]] == [1, 2, 3]
    assert (rest[0]["kind"], rest[0]["played"]) == ("begin", 3)
    assert [one["number"] for one in rest[1:-1]] == list(range(4, rest[-1]["played"] + 1))


def until_waiting(tenant: httpx.Client, replay: dict[str, Any]) -> None:
    """The service hears of a connection's end a moment later."""
    deadline = time.monotonic() + SECONDS_MAX
    while shown(tenant, replay)["state"] != "waiting":
        assert time.monotonic() < deadline


def test_it_pauses_steps_and_goes_on_at_another_speed(
    tenant: httpx.Client, watcher: Subscriber
) -> None:
    for _ in range(10):
        submitted(tenant)
    replay = opened(tenant, to=last_of(tenant))
    tell(tenant, replay, "pause")
    watcher.subscribe(replay["channel"])
    assert watcher.next()["data"]["kind"] == "begin"
    assert shown(tenant, replay)["state"] == "paused"
    assert watcher.pong() == []

    stepped = tell(tenant, replay, "step", events=2)
    two = [watcher.next()["data"]["number"] for _ in range(2)]
    assert watcher.pong() == []
    assert (stepped["state"], two, shown(tenant, replay)["played"]) == ("paused", [1, 2], 2)

    assert tell(tenant, replay, "speed", speed=500)["speed"] == 500
    assert tell(tenant, replay, "play")["state"] in {"playing", "ended"}
    numbers = [one["number"] for one in played(watcher, replay, subscribe=False)[:-1]]

    assert numbers == list(range(3, numbers[-1] + 1))
    ended = tenant.post(f"/v1/replays/{replay['replay_id']}/play")
    assert (ended.status_code, ended.json()["code"]) == (409, "replay_ended")


def test_a_repeated_step_is_one_step(tenant: httpx.Client, watcher: Subscriber) -> None:
    for _ in range(5):
        submitted(tenant)
    key = {"Idempotency-Key": uuid4().hex}
    replay = opened(tenant)
    tell(tenant, replay, "pause")
    watcher.subscribe(replay["channel"])
    watcher.next()

    path = f"/v1/replays/{replay['replay_id']}/step"
    first = tenant.post(path, headers=key)
    number = watcher.next()["data"]["number"]
    again = tenant.post(path, headers=key)

    assert number == 1
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json()
    assert watcher.pong() == []


def test_a_repeated_opening_opens_one(tenant: httpx.Client) -> None:
    key, body = {"Idempotency-Key": uuid4().hex}, {"from": first_of(tenant)}

    first = tenant.post("/v1/replays", json=body, headers=key)
    again = tenant.post("/v1/replays", json=body, headers=key)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert first.headers["Location"] == f"/v1/replays/{first.json()['replay_id']}"


def test_what_is_removed_says_so_and_is_gone(tenant: httpx.Client, watcher: Subscriber) -> None:
    submitted(tenant)
    replay = opened(tenant)
    tell(tenant, replay, "pause")
    watcher.subscribe(replay["channel"])
    watcher.next()

    assert tenant.delete(f"/v1/replays/{replay['replay_id']}").status_code == 204

    assert watcher.next()["data"] == {"kind": "end", "reason": "removed", "played": 0}
    assert tenant.get(f"/v1/replays/{replay['replay_id']}").status_code == 404
    refused = watcher.ask("error", type="subscribe", channels=[replay["channel"]])
    assert refused["code"] == "not_found"


def test_what_nobody_listens_to_is_forgotten(
    tenant: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(tenant)
    monkeypatch.setattr(replays, "ABANDONED_SECONDS", 0.1)
    replay = opened(tenant)

    deadline = time.monotonic() + SECONDS_MAX
    while tenant.get(f"/v1/replays/{replay['replay_id']}").status_code != 404:
        assert time.monotonic() < deadline


def test_it_is_nobody_elses(
    shared_service: Service, shared_admin: httpx.Client, tenant: httpx.Client
) -> None:
    replay = opened(tenant)
    with (
        a_tenant(shared_service, shared_admin) as stranger,
        Subscriber(shared_service, token_of(stranger)) as curious,
    ):
        for path in ("", "/pause", "/play", "/step"):
            method = "GET" if not path else "POST"
            answer = stranger.request(method, f"/v1/replays/{replay['replay_id']}{path}")
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        refused = curious.ask("error", type="subscribe", channels=[replay["channel"]])
        ours = played(curious, opened(stranger))

    assert refused["code"] == "not_found"
    log = tenant.get("/v1/events", params={"limit": "1000"}).json()["items"]
    theirs = {one["event"]["id"] for one in ours[1:-1]}
    assert theirs.isdisjoint(event["id"] for event in log)


def test_it_takes_the_scope_of_an_auditor(shared_service: Service, tenant: httpx.Client) -> None:
    replay, name = opened(tenant), uuid4().hex
    user = {"username": name, "password": PASSWORD, "scopes": ["tasks:read", "agents:read"]}
    tenant.post("/v1/users", json=user).raise_for_status()

    with shared_service.client(name) as reader:
        with Subscriber(shared_service, token_of(reader)) as subscriber:
            refused = subscriber.ask("error", type="subscribe", channels=[replay["channel"]])
        assert reader.get(f"/v1/replays/{replay['replay_id']}").status_code == 403

    assert refused["code"] == "forbidden"


def test_a_webhook_cannot_have_it(tenant: httpx.Client) -> None:
    body = {"url": "https://example.com", "channels": [opened(tenant)["channel"]]}

    answer = tenant.post("/v1/webhooks", json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "channel_not_durable")


def test_there_are_only_so_many(tenant: httpx.Client) -> None:
    made = [opened(tenant) for _ in range(replays.REPLAYS_OF_TENANT_MAX)]

    answer = tenant.post("/v1/replays", json={"from": first_of(tenant)})
    for replay in made:
        tenant.delete(f"/v1/replays/{replay['replay_id']}").raise_for_status()

    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_replays")
    assert opened(tenant)["state"] == "waiting"


def test_a_stretch_that_is_too_long_is_refused(
    tenant: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(tenant)
    monkeypatch.setattr(replays, "POSITIONS_MAX", 1)

    answer = tenant.post("/v1/replays", json={"from": "1:1"})

    assert (answer.status_code, answer.json()["code"]) == (422, "range_too_large")
    assert answer.json()["nearest"] == "1:1"


@pytest.mark.parametrize(
    "wrong",
    [
        {"from": "nonsense"},
        {"from": "v3"},
        {"from": 7},
        {},
        {"from": "1:1", "speed": 0.01},
        {"from": "1:1", "speed": 1001},
        {"from": "1:1", "speed": "fast"},
        {"from": "1:1", "gap_seconds_max": 0},
        {"begin": "1:1"},
    ],
)
def test_what_cannot_be_played_is_refused(
    shared_admin: httpx.Client, wrong: dict[str, Any]
) -> None:
    answer = shared_admin.post("/v1/replays", json=wrong)

    assert answer.status_code == 422, answer.text


def test_what_was_erased_while_it_waited_is_not_played(
    tenant: httpx.Client, watcher: Subscriber
) -> None:
    canary = "Ada Lovelace, 10 December 1815"
    task = {"kind": "x", "subject": uuid4().hex, "input": canary}
    tenant.post("/v1/tasks", json=task).raise_for_status()
    replay = opened(tenant)
    tell(tenant, replay, "pause")
    watcher.subscribe(replay["channel"])
    assert canary in tenant.get("/v1/events/export").text

    tenant.post(f"/v1/subjects/{task['subject']}/erase").raise_for_status()
    tell(tenant, replay, "play")

    frames = played(watcher, replay, subscribe=False)
    assert canary not in orjson.dumps(frames).decode()
    assert "[erased]" in orjson.dumps(frames).decode()
    exported = tenant.get("/v1/events/export").text
    assert canary not in exported
    assert "[erased]" in exported


# Slow readers.


def fill(tenant: httpx.Client) -> int:
    """More than fits between a service and a client that does not read; how many events."""
    tasks = [{"kind": "x", "input": "y" * 200_000}] * 4
    for _ in range(12):
        tenant.post("/v1/tasks/batch", json={"tasks": tasks}).raise_for_status()
    return 48


def test_nothing_is_left_out_for_a_slow_reader(
    shared_service: Service, tenant: httpx.Client
) -> None:
    count = fill(tenant)
    replay = opened(tenant)

    with Subscriber(shared_service, token_of(tenant), max_queue=1) as slow:
        slow.say(type="subscribe", channels=[replay["channel"]])
        held_up = until_it_stands(tenant, replay)
        frames = slow.until(lambda frame: frame.get("data", {}).get("kind") == "end")

    events = [one["data"] for one in frames if one.get("data", {}).get("kind") == "event"]
    assert held_up < count, "it waited for its reader"
    assert [one["number"] for one in events] == list(range(1, len(events) + 1))
    assert len(events) >= count


def until_it_stands(tenant: httpx.Client, replay: dict[str, Any]) -> int:
    """How many events were played when no more came while it was asked again and again, on the
    event loop that plays them."""
    before, steady = -1, 0
    while steady < 30:
        now = int(shown(tenant, replay)["played"])
        steady = steady + 1 if now == before and now > 0 else 0
        before = now
    return before


def test_who_makes_the_others_wait_for_long_is_sent_away(
    shared_service: Service, tenant: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playing, "READERS_WAITED_FOR_SECONDS", 0.3)
    fill(tenant)
    replay = opened(tenant)
    tell(tenant, replay, "pause")

    with (
        Subscriber(shared_service, token_of(tenant), max_queue=1) as idle,
        Subscriber(shared_service, token_of(tenant)) as keen,
    ):
        idle.subscribe(replay["channel"])
        keen.subscribe(replay["channel"])
        tell(tenant, replay, "play")
        frames = played(keen, replay, subscribe=False)
        code = idle.close_code()

    numbers = [one["number"] for one in frames if one["kind"] == "event"]
    assert numbers == list(range(1, len(numbers) + 1))
    assert code == 4008


# Other ways to it.


def test_it_comes_as_server_sent_events_too(shared_service: Service, tenant: httpx.Client) -> None:
    for _ in range(3):
        submitted(tenant)
    last = last_of(tenant)
    replay = opened(tenant, to=last)

    found = []
    with httpx.stream(
        "GET",
        f"{shared_service.url}/v1/stream",
        params={"channels": replay["channel"]},
        headers=tenant.headers,
        timeout=SECONDS_MAX,
    ) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: ") and "kind" in line:
                found.append(orjson.loads(line[6:]))
                if found[-1]["kind"] == "end":
                    break

    log = tenant.get("/v1/events", params={"until": last, "limit": "1000"}).json()["items"]
    assert [one["event"] for one in found[1:-1]] == log


def test_the_clients_bring_the_same(service: Service, admin: httpx.Client) -> None:
    for _ in range(4):
        submitted(admin)
    begin, end = first_of(admin), last_of(admin)

    with Client(service.url, username="admin", password=PASSWORD) as client:
        blocking = list(client.replay(begin, end, speed=1000))
        lines = b"".join(client.export(begin, end)).splitlines()
        routes = [one.data["route"] for one in client.audit.trail(type="audit.read", limit=2)]

    async def listen() -> tuple[list[Any], bytes]:
        async with AsyncClient(service.url, username="admin", password=PASSWORD) as client:
            found = [one async for one in client.replay(begin, end, speed=1000)]
            chunks = [one async for one in client.export(begin, end)]
            return found, b"".join(chunks)

    awaited, exported = asyncio.run(listen())
    assert [one.event.id for one in blocking] == [orjson.loads(line)["id"] for line in lines]
    assert awaited == blocking
    assert exported.splitlines() == lines
    assert routes == ["/v1/events/export", "/v1/stream"]


def test_a_client_hears_that_its_replay_was_removed(service: Service, admin: httpx.Client) -> None:
    submitted_over_a_while(admin)

    with Client(service.url, username="admin", password=PASSWORD) as client:
        stream = client.replay(first_of(admin), last_of(admin), speed=0.1)
        first = next(stream)
        admin.delete(f"/v1/replays/{stream.replay_id}").raise_for_status()
        with pytest.raises(Unavailable, match="removed"):
            for _ in stream:
                pass

    assert first.number == 1


def test_the_command_line_plays(
    service: Service,
    admin: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(3):
        submitted(admin)
    muster = Muster(service, monkeypatch, capsys)
    stretch = first_of(admin), last_of(admin)

    rows = muster.done("history", "play", *stretch, "--speed", "1000", "--json").rows
    told = muster.done("history", "play", *stretch, "--speed", "1000")
    wrong = muster("history", "play", "nonsense")

    assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))
    assert rows[0]["event"]["id"] == stretch[0]
    assert told.out.count("task.submitted") == 3
    assert (wrong.code, "is no moment" in wrong.err) == (1, True)
    assert service.process.replays.tenant_of(uuid4()) is None


def test_who_comes_after_the_end_is_told_of_it(
    shared_service: Service, tenant: httpx.Client, watcher: Subscriber
) -> None:
    submitted(tenant)
    replay = opened(tenant)
    played(watcher, replay)

    with Subscriber(shared_service, token_of(tenant)) as late:
        begin, end = played(late, replay)

    assert (begin["kind"], end["kind"], end["reason"]) == ("begin", "end", "played")
    assert begin["played"] == end["played"] > 0
