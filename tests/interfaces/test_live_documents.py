"""The description of live events: sound by its own standard, and true.

It is held against the JSON Schema of AsyncAPI 3.0.0 (`asyncapi_specs/`), and everything that a
service really sends is held against it, with no member that it does not name.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from application.live.channel import OF_ONE_THING, SCOPES, family_of
from domain.aggregate import Aggregate
from domain.catalogue import EVENTS
from interfaces.http import asyncapi
from interfaces.http.event_documents import events_page
from interfaces.http.event_schemas import data_type_of
from interfaces.http.live.close_codes import CLOSE_CODES
from interfaces.http.live.conversation import CODES
from interfaces.http.schemas.frames import SERVER_FRAMES
from interfaces.http.schemas.live import CLIENT_MESSAGES
from tests.conftest import Database
from tests.interfaces.service import Service

jsonschema_rs = pytest.importorskip("jsonschema_rs", reason="a development dependency")

SPECIFICATION = Path(__file__).parent / "asyncapi_specs" / "3.0.0.json"
HISTORY = Path(__file__).parents[1] / "history" / "events.jsonl"
ANSWER_SECONDS_MAX = 20


@cache
def described() -> dict[str, Any]:
    return asyncapi.document()


@cache
def strict_schemas() -> dict[str, Any]:
    """Those of the document, each of which refuses what it does not name."""
    schemas: dict[str, Any] = json.loads(json.dumps(described()["components"]["schemas"]))
    for schema in schemas.values():
        if "properties" in schema or "allOf" in schema:
            schema["unevaluatedProperties"] = False
    # These two are more than what each part of an `allOf` alone would know.
    del schemas["CloudEvent"]["unevaluatedProperties"]
    return schemas


@cache
def validator(reference: str) -> Any:
    whole = {"$ref": reference, "components": {"schemas": strict_schemas()}}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def faults_of(content: Any, schema: dict[str, Any]) -> list[str]:
    """What in a message is not as its schema says."""
    found = validator(schema["$ref"]).iter_errors(content)
    return [f"{list(fault.instance_path)}: {fault.message}" for fault in found]


def payload_of(name: str) -> dict[str, Any]:
    payload: dict[str, Any] = described()["components"]["messages"][name]["payload"]
    return payload


# The document.


def test_it_is_sound_by_the_standard(shared_admin: httpx.Client) -> None:
    specification = json.loads(SPECIFICATION.read_text(encoding="utf-8"))
    validator = jsonschema_rs.validator_for(specification, validate_formats=True)

    answer = shared_admin.get("/asyncapi.json")

    assert answer.headers["Content-Type"] == "application/json"
    assert [fault.message for fault in validator.iter_errors(answer.json())] == []
    assert answer.json() == described()


def test_it_refers_to_nothing_that_is_not_there() -> None:
    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for one in node.values():
                yield from references(one)
        elif isinstance(node, list):
            for one in node:
                yield from references(one)

    for reference in references(described()):
        found: Any = described()
        for step in reference.removeprefix("#/").split("/"):
            assert step in found, reference
            found = found[step]


def test_it_is_the_same_each_time() -> None:
    assert json.dumps(asyncapi.document()) == json.dumps(asyncapi.document())


def test_it_names_everything_that_is_said() -> None:
    messages = described()["components"]["messages"]
    said = set(described()["channels"]["conversation"]["messages"])

    assert set(EVENTS) <= set(messages)
    assert set(asyncapi.CONVERSATION) == {*CLIENT_MESSAGES, *SERVER_FRAMES}
    assert len(said) == len(asyncapi.CONVERSATION)
    assert {name for name in said if messages[name]["x-from"] == "client"} == set(asyncapi.ANSWERS)


def test_each_event_is_in_its_channel_and_in_every_stream_of_all() -> None:
    channels = described()["channels"]

    assert {name.partition(".")[0] for name in channels} == {
        *("conversation", "stream", "webhook"),
        *SCOPES,
    }
    for topic in EVENTS:
        families = {name for name, channel in channels.items() if topic in channel["messages"]}
        family = family_of(topic)
        of_one = {f"{family}.id"} if family in OF_ONE_THING else set()
        assert families == {"stream", family, *of_one}


def test_a_new_event_is_described_without_a_word_about_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Praised(Aggregate.Event):
        """Somebody liked the result."""

        TOPIC: ClassVar[str] = "task.praised"
        stars: int
        by: str | None

    monkeypatch.setitem(EVENTS, "task.praised", Praised)

    document = asyncapi.document()

    message = document["components"]["messages"]["task.praised"]
    data = document["components"]["schemas"]["TaskPraised"]
    assert message["examples"][0]["payload"]["data"] == {"stars": 1, "by": "<by>"}
    assert set(data["properties"]) == {"stars", "by"}
    assert "task.praised" in document["channels"]["tasks.id"]["messages"]
    assert "task.praised" in events_page(document)


def test_every_example_is_as_its_schema_says() -> None:
    for name, message in described()["components"]["messages"].items():
        for example in message["examples"]:
            if "$ref" in message["payload"]:
                assert faults_of(example["payload"], message["payload"]) == [], name


def test_it_names_every_code_with_which_one_is_refused_or_sent_away() -> None:
    codes = described()["components"]["schemas"]["RefusalFrame"]["properties"]["code"]
    sent_away = described()["channels"]["conversation"]["x-close-codes"]

    for code in {name for _, name in CODES} | {"limit", "bad_json", "unknown_type"}:
        assert f"`{code}`" in codes["description"]
    assert {str(code) for code in CLOSE_CODES.values()} <= set(sent_away)


# The page.


def test_it_can_be_read_without_anything_from_elsewhere(shared_admin: httpx.Client) -> None:
    page = shared_admin.get("/docs/events").text

    for name in (*EVENTS, *described()["channels"]["conversation"]["messages"]):
        assert f"<code>{name}</code></h3>" in page
    for channel in described()["channels"].values():
        assert channel["address"] is None or f"<code>{channel['address']}</code>" in page
    assert "4008" in page
    assert "<script" not in page
    assert "src=" not in page
    assert "http://" not in page
    assert "https://" not in page


def test_both_pages_lead_to_one_another(shared_admin: httpx.Client) -> None:
    api, events = (shared_admin.get(path) for path in ("/docs", "/docs/events"))

    assert 'href="/docs/events"' in api.text
    assert 'href="/docs"' in events.text
    assert 'href="/asyncapi.json"' in events.text
    assert events.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_the_conversation_is_told_in_its_order(shared_admin: httpx.Client) -> None:
    page = shared_admin.get("/docs/events").text

    places = [page.index(f'<h3 id="{name}">') for name in ("auth", "hello", "subscribe", "event")]
    assert places == sorted(places)


# What is really sent.


@contextmanager
def conversation(service: Service) -> Iterator[ClientConnection]:
    url = f"{service.url.replace('http', 'ws', 1)}/ws/v1/events"
    with connect(url, subprotocols=[Subprotocol("musterroll.v1")], proxy=None) as connection:
        yield connection


def until(connection: ClientConnection, *wanted: str) -> list[dict[str, Any]]:
    """What comes, until each of the wanted types has."""
    missing, found = set(wanted), []
    while missing:
        found.append(json.loads(connection.recv(ANSWER_SECONDS_MAX)))
        missing.discard(found[-1]["type"])
    return found


def ask(connection: ClientConnection, *wanted: str, **message: Any) -> list[dict[str, Any]]:
    connection.send(json.dumps(message))
    return until(connection, *wanted)


def do_a_task(admin: httpx.Client, service: Service) -> dict[str, Any]:
    """A task that an agent is at work on: the agent's credentials, and the attempt."""
    agent = admin.post("/v1/agents", json={"name": "a", "capabilities": ["review"]}).json()
    admin.post("/v1/tasks", json={"kind": "review"}).raise_for_status()
    with service.machine(agent["client_id"], agent["client_secret"]) as worker:
        path = f"/v1/agents/{agent['agent_id']}"
        worker.post(f"{path}/heartbeat", json={}).raise_for_status()
        body = {"slots": 1, "wait_seconds": 20}
        (lease,) = worker.post(f"{path}/leases", json=body).json()["leases"]
        attempt = {"task_id": lease["task_id"], "attempt": 1}
        reports = [attempt | {"type": "started"}]
        worker.post(f"{path}/reports", json={"reports": reports}).raise_for_status()
    return {**agent, **attempt}


def write_output(service: Service, work: dict[str, Any]) -> None:
    piece = {"task_id": work["task_id"], "attempt": work["attempt"], "text": "so far so good"}
    with service.machine(work["client_id"], work["client_secret"]) as worker:
        path = f"/v1/agents/{work['agent_id']}/output"
        worker.post(path, json={"output": [piece]}).raise_for_status()


def test_every_frame_that_is_sent_is_described(database: Database, tmp_path: Path) -> None:
    with (
        Service(database, tmp_path, token_seconds=30) as service,
        service.client() as admin,
        conversation(service) as told,
    ):
        work = do_a_task(admin, service)
        token = admin.headers["Authorization"].removeprefix("Bearer ")
        output = f"output.{work['task_id']}"
        lists = ["tasks", "agents"]

        # A token of 30 s ends within the minute, which is said at once.
        frames = ask(told, "hello", "auth_expiring", type="auth", token=token, id="1")
        frames += ask(told, "error", type="nonsense", id="2")
        frames += ask(told, "pong", type="ping", id="3")
        frames += ask(told, "resync", type="subscribe", channels=lists, after="9:1", id="4")
        frames += ask(told, "caught_up", type="subscribe", channels=lists, after="start", id="5")
        frames += ask(told, "caught_up", type="subscribe", channels=lists, snapshot=True)
        frames += ask(told, "caught_up", type="subscribe", channels=[output, "metrics"])
        write_output(service, work)
        frames += until(told, "output")
        # Nothing of this type comes, so that only the cursor moves.
        ask(told, "caught_up", type="subscribe", channels=["tasks"], types=["task.retried"])
        admin.post("/v1/tasks", json={"kind": "other"}).raise_for_status()
        frames += until(told, "position", "metrics")
        replay = admin.post("/v1/replays", json={"from": "1:1", "speed": 1000}).json()
        frames += ask(told, "caught_up", type="subscribe", channels=[replay["channel"]])
        while frames[-1].get("data", {}).get("kind") != "end":
            frames += until(told, "replay")
        frames += ask(told, "unsubscribed", type="unsubscribe", channels=lists)

    by_type = defaultdict(list)
    for frame in frames:
        by_type[frame["type"]].append(frame)
    names = set(described()["channels"]["conversation"]["messages"]) - set(asyncapi.ANSWERS)
    assert set(by_type) == names
    for name, found in by_type.items():
        for frame in found:
            assert faults_of(frame, payload_of(name)) == [], frame
    assert {len(frame["items"]) for frame in by_type["snapshot"]} == {1}
    (example,) = described()["components"]["messages"]["hello"]["examples"]
    assert by_type["hello"][0]["limits"] == example["payload"]["limits"]


def test_every_server_sent_event_is_described(service: Service, admin: httpx.Client) -> None:
    do_a_task(admin, service)
    names = described()["channels"]["stream"]["messages"]

    query = {"channels": "tasks,agents", "after": "start"}
    with admin.stream("GET", "/v1/stream", params=query) as stream:
        events: list[dict[str, str]] = [{}]
        for line in stream.iter_lines():
            field, _, value = line.partition(": ")
            if not line:
                if events[-1].get("event") == "caught_up":
                    break
                events.append({})
            elif field:
                events[-1][field] = value

    told = [event for event in events if "event" in event]
    assert [event["event"] for event in told[:2]] == ["agent.registered", "task.submitted"]
    for event in told:
        message = names[event["event"]]["$ref"].rpartition("/")[2]
        assert faults_of(json.loads(event["data"]), payload_of(message)) == []


def test_every_event_that_was_ever_stored_is_described() -> None:
    """But for the oldest forms of those that have changed: they are described as they are now."""
    examples = [json.loads(line) for line in HISTORY.read_text(encoding="utf-8").splitlines()]
    for example in examples:
        event = EVENTS[example["topic"]]
        if example["class_version"] != getattr(event, "class_version", 1):
            continue
        outside = {"timestamp", "originator_topic", "class_version"}
        data = {name: v for name, v in example["state"].items() if name not in outside}
        schema = {"$ref": f"#/components/schemas/{data_type_of(example['topic']).__name__}"}

        assert faults_of(data, schema) == []
