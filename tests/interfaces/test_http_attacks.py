"""Attacks over HTTP that were tried for real and came to nothing; they have to stay so."""

import base64
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.interfaces.service import Service

NOBODY_CAN = ["what nobody can do"]
PASSWORD_OF_OTHERS = "battery staple horse"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass
class Worker:
    """An agent's program, with what it says and hears."""

    client: httpx.Client
    agent_id: str
    capability: str

    def lease(self, *, slots: int = 1, wait_seconds: float = 10) -> list[dict[str, Any]]:
        body = {"slots": slots, "wait_seconds": wait_seconds}
        answer = self.client.post(f"/v1/agents/{self.agent_id}/leases", json=body)
        leases: list[dict[str, Any]] = answer.raise_for_status().json()["leases"]
        return leases

    def report(self, *reports: dict[str, Any]) -> list[dict[str, Any]]:
        path = f"/v1/agents/{self.agent_id}/reports"
        answer = self.client.post(path, json={"reports": reports})
        outcomes: list[dict[str, Any]] = answer.raise_for_status().json()["outcomes"]
        return outcomes

    def beat(self, running: Sequence[dict[str, Any]]) -> dict[str, Any]:
        path = f"/v1/agents/{self.agent_id}/heartbeat"
        found: dict[str, Any] = self.client.post(path, json={"running": running}).json()
        return found


Hire = Callable[..., Worker]


@pytest.fixture
def hire(shared_service: Service, shared_admin: httpx.Client) -> Iterator[Hire]:
    """Makes workers, each of an agent of its own with a capability of its own."""
    with ExitStack() as stack:

        def hired(by: httpx.Client = shared_admin, *, slots: int = 1) -> Worker:
            name = uuid4().hex
            body = {"name": name, "capabilities": [name], "slots": slots}
            made = by.post("/v1/agents", json=body).raise_for_status().json()
            client = shared_service.machine(made["client_id"], made["client_secret"])
            return Worker(stack.enter_context(client), made["agent_id"], capability=name)

        yield hired


def submit(admin: httpx.Client, worker: Worker, count: int) -> list[str]:
    task = {"kind": "work", "requires": [worker.capability]}
    answer = admin.post("/v1/tasks/batch", json={"tasks": [task] * count})
    return [outcome["task_id"] for outcome in answer.raise_for_status().json()["outcomes"]]


def held(lease: dict[str, Any]) -> dict[str, Any]:
    return {"task_id": lease["task_id"], "attempt": lease["attempt"]}


def at_once(count: int, call: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(call, range(count)))


def person(
    service: Service, admin: httpx.Client, scopes: list[str], tenant: str = "default"
) -> tuple[str, httpx.Client]:
    name = uuid4().hex
    body = {
        "username": name,
        "password": PASSWORD_OF_OTHERS,
        "scopes": scopes,
        "tenant": tenant,
    }
    made = admin.post("/v1/users", json=body).raise_for_status().json()
    return made["user_id"], service.client(name, PASSWORD_OF_OTHERS)


def said(service: Service, message: bytes) -> bytes:
    """Everything that the server answers until it closes the connection."""
    port = int(service.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(message)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    return received


# Messages that two readers could read in two ways.


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"Content-Length: 4\r\n" + CHUNKED, b"0\r\n\r\n" + SMUGGLED),
        (b"Content-Length: 2\r\nContent-Length: 40\r\n", b"{}" + SMUGGLED),
        (b"Content-Length: 2\r\nContent-Length: 2\r\n", b"{}" + SMUGGLED),
        (b"Content-Length: 2, 2\r\n", b"{}" + SMUGGLED),
        (b"Content-Length: -2\r\n", b"{}" + SMUGGLED),
        (b"Content-Length: +2\r\n", b"{}" + SMUGGLED),
        (b"Content-Length: 0x2\r\n", b"{}" + SMUGGLED),
        (b"Content-Length:\r\n", SMUGGLED),
        (b"Content-Length : 2\r\n", b"{}" + SMUGGLED),
        (b"Content-Length: " + b"9" * 30 + b"\r\n", b"{}" + SMUGGLED),
        (b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n" + SMUGGLED),
        (b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n" + SMUGGLED),
        (b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n" + SMUGGLED),
        (CHUNKED + CHUNKED, b"0\r\n\r\n" + SMUGGLED),
        (CHUNKED, b"-1\r\n" + SMUGGLED),
        (CHUNKED, b"f" * 17 + b"\r\n" + SMUGGLED),
        (CHUNKED, b"2\n{}\n0\n\n" + SMUGGLED),
        (b"X: a\r\n b\r\n", SMUGGLED),
        (b"X: a\rY: b\r\n", SMUGGLED),
        (b"X: a\0b\r\n", SMUGGLED),
    ],
)
def test_no_framing_smuggles_a_second_request(
    shared_service: Service, framing: bytes, body: bytes
) -> None:
    head = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

    answer = said(shared_service, head + framing + b"\r\n" + body)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"200 OK" not in answer


@pytest.mark.parametrize(
    "path",
    [
        "//v1/tasks/counts",
        "/v1//tasks/counts",
        "/v1/tasks/counts/",
        "/v1/tasks/counts;x=1",
        "/v1/tasks/counts%00",
        "/v1/tasks%0a/counts",
        "/v1/agents/%2e%2e/tasks/counts",
        "/V1/TASKS/COUNTS",
        "/v1/tasks/%ff",
        "/v1/%ef%bd%94asks/counts",
    ],
)
def test_no_spelling_of_a_path_leads_past_the_route_table(
    shared_admin: httpx.Client, path: str
) -> None:
    answer = shared_admin.get(path)

    assert answer.status_code == 404
    assert answer.json()["code"] in {"no_such_path", "not_found"}


@pytest.mark.parametrize("host", ["[", "[::1", "a?b", "a/b#c", "a:99999999", "\xff"])
def test_no_host_header_changes_what_was_asked_for(shared_service: Service, host: str) -> None:
    head = f"GET /nowhere HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"

    answer = said(shared_service, head.encode("latin-1"))

    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b'"instance":"/nowhere"' in answer


@pytest.mark.parametrize(
    "headers",
    [
        {"X-HTTP-Method-Override": "GET"},
        {"X-Original-URL": "/healthz"},
        {"X-Rewrite-URL": "/healthz"},
    ],
)
def test_no_header_overrides_the_method_or_the_path(
    shared_admin: httpx.Client, headers: dict[str, str]
) -> None:
    answer = shared_admin.post("/v1/tasks/counts", headers=headers)

    assert answer.status_code == 405


# Tokens.


def test_a_token_that_was_tampered_with_is_as_good_as_none(shared_admin: httpx.Client) -> None:
    token = shared_admin.headers["Authorization"].removeprefix("Bearer ")
    head, payload, signature = token.split(".")
    other_tenant = part({**content(payload), "tenant": "acme"})
    later = part({**content(payload), "exp": content(payload)["exp"] + 1})
    unsigned = part({**content(head), "alg": "none"})
    by_secret = part({**content(head), "alg": "HS256"})
    with_key = part({**content(head), "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AA"}})
    deep = base64.urlsafe_b64encode(b"[" * 3_000 + b"]" * 3_000).rstrip(b"=").decode()

    forged = [
        f"{head}.{other_tenant}.{signature}",
        f"{head}.{later}.{signature}",
        f"{head}.{payload}.",
        f"{unsigned}.{payload}.",
        f"{unsigned}.{payload}.{signature}",
        f"{by_secret}.{payload}.{signature}",
        f"{with_key}.{payload}.{signature}",
        f"{deep}.{payload}.{signature}",
        f"{head}.{deep}.{signature}",
        f"{token}.{signature}",
        f"{token},{token}",
        token.upper(),
        "..",
        "a" * 9_000,
    ]
    answers = [
        shared_admin.get("/v1/tasks", headers={"Authorization": f"Bearer {one}"}) for one in forged
    ]

    assert [answer.status_code for answer in answers] == [401] * len(forged)
    assert {answer.json()["code"] for answer in answers} == {"invalid_token"}


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def content(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=="))
    return found


def test_a_token_counts_in_its_header_only(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    token = shared_admin.headers["Authorization"].removeprefix("Bearer ")

    with httpx.Client(base_url=shared_service.url) as nobody:
        answers = [
            nobody.get("/v1/tasks", params={"access_token": token}),
            nobody.get("/v1/tasks", headers={"Cookie": f"access_token={token}"}),
            nobody.post("/v1/tasks", json={"kind": "work", "access_token": token}),
            nobody.post("/v1/tasks", data={"access_token": token}),
            nobody.get("/v1/tasks", headers={"X-Authorization": f"Bearer {token}"}),
        ]

    assert [answer.status_code for answer in answers] == [401] * 5


def test_a_narrowed_token_cannot_be_widened(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    _, reader = person(shared_service, shared_admin, ["tasks:read"])

    with reader:
        answers = [
            reader.post("/v1/tasks", json={"kind": "work"}),
            reader.get("/v1/users"),
            reader.post("/v1/users", json={"username": "mallory", "scopes": ["admin"]}),
            reader.get("/v1/events"),
            reader.post("/v1/agents", json={"name": "mallory", "capabilities": ["work"]}),
        ]

    assert [answer.status_code for answer in answers] == [403] * 5


def test_a_new_account_of_an_old_name_does_not_revive_the_old_token(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    user_id, removed = person(shared_service, shared_admin, ["tasks:read"])
    users = shared_admin.get("/v1/users", params={"limit": 200}).json()["items"]
    name = next(user["username"] for user in users if user["user_id"] == user_id)

    shared_admin.delete(f"/v1/users/{user_id}").raise_for_status()
    again = {"username": name, "scopes": ["tasks:read"]}
    shared_admin.post("/v1/users", json=again).raise_for_status()

    with removed:
        assert removed.get("/v1/tasks").status_code == 401


# Tenants.


def test_an_administrator_of_a_tenant_gives_nothing_outside_it(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    victim_id, victim = person(shared_service, shared_admin, ["admin"], tenant="globex")
    _, mallory = person(shared_service, shared_admin, ["admin"], tenant="acme")
    wanted = {"scopes": ["admin"]}

    with victim, mallory:
        answers = [
            mallory.post("/v1/users", json={**wanted, "username": "m", "tenant": "default"}),
            mallory.post("/v1/users", json={**wanted, "username": "m", "tenant": "globex"}),
            mallory.post("/v1/clients", json={**wanted, "name": "m", "tenant": "default"}),
            mallory.delete(f"/v1/users/{victim_id}"),
            mallory.post(f"/v1/users/{victim_id}/secret", json={"password": "mallory's own"}),
            mallory.post(f"/v1/clients/{victim_id}/secret"),
        ]
        refused = mallory.post("/v1/users", json={"username": "m", "scopes": ["backups:admin"]})

        assert [answer.status_code for answer in answers] == [404] * 6
        assert refused.json()["code"] == "scope_not_grantable"
        assert victim.get("/v1/users").status_code == 200


def test_a_worker_of_another_tenant_finds_no_task_to_report(
    shared_service: Service, shared_admin: httpx.Client, hire: Hire
) -> None:
    _, elsewhere = person(shared_service, shared_admin, ["admin"], tenant="initech")
    with elsewhere:
        stranger = hire(elsewhere)
    worker = hire()
    submit(shared_admin, worker, 1)
    [lease] = worker.lease()

    [stolen] = stranger.report({**held(lease), "type": "completed", "result": "stolen"})
    [done] = worker.report({**held(lease), "type": "completed", "result": "mine"})

    assert stolen["error"]["code"] == "not_found"
    assert done["accepted"]


# Keys.


def test_two_requests_that_race_for_one_key_make_one_task(shared_admin: httpx.Client) -> None:
    headers = {"Idempotency-Key": uuid4().hex}

    def send(place: int) -> httpx.Response:
        body = {"kind": "work", "requires": NOBODY_CAN, "priority": place % 2}
        return shared_admin.post("/v1/tasks", json=body, headers=headers)

    answers = at_once(12, send)

    accepted = [answer for answer in answers if answer.status_code == 202]
    refused = [answer for answer in answers if answer.status_code == 422]
    assert (len(accepted), len(refused)) == (6, 6)
    assert len({answer.json()["task_id"] for answer in accepted}) == 1
    assert {answer.json()["code"] for answer in refused} == {"idempotency_key_reused"}


def test_a_secret_is_told_once_however_many_ask_for_it(shared_admin: httpx.Client) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    body = {"name": uuid4().hex, "scopes": ["tasks:read"]}

    answers = at_once(
        8, lambda _: shared_admin.post("/v1/clients", json=body, headers=headers).json()
    )

    assert len({answer["client_id"] for answer in answers}) == 1
    assert len([answer for answer in answers if answer["client_secret"]]) == 1


def test_secrets_are_in_no_list_and_in_no_event(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    password = f"canary {uuid4().hex}"
    user = {"username": uuid4().hex, "password": password, "scopes": ["tasks:read"]}
    shared_admin.post("/v1/users", json=user).raise_for_status()
    name = uuid4().hex
    agent = {"name": name, "capabilities": ["work"]}
    secret = shared_admin.post("/v1/agents", json=agent).json()["client_secret"]

    shown = "".join(
        shared_admin.get(path, params={"limit": 200}).raise_for_status().text
        for path in ("/v1/users", "/v1/clients", "/v1/agents", "/v1/activity", "/v1/events")
    )

    assert name in shown
    assert password not in shown
    assert secret not in shown


# Families of tasks.


def test_tasks_do_not_beget_tasks_without_end(shared_admin: httpx.Client) -> None:
    parent_id = None
    for _ in range(9):
        body = {"kind": "work", "requires": NOBODY_CAN, "parent_id": parent_id}
        parent_id = shared_admin.post("/v1/tasks", json=body).raise_for_status().json()["task_id"]

    body = {"kind": "work", "requires": NOBODY_CAN, "parent_id": parent_id}
    answer = shared_admin.post("/v1/tasks", json=body)

    assert answer.status_code == 422
    assert answer.json()["code"] == "too_deep"


# Workers.


def test_of_many_completions_at_once_exactly_one_is_accepted(
    shared_admin: httpx.Client, hire: Hire
) -> None:
    worker = hire()
    submit(shared_admin, worker, 1)
    [lease] = worker.lease()

    outcomes = at_once(
        8, lambda n: worker.report({**held(lease), "type": "completed", "result": n})[0]
    )

    accepted = [n for n, outcome in enumerate(outcomes) if outcome["accepted"]]
    assert len(accepted) == 1
    seen = {"seen": outcomes[accepted[0]]["cursor"]}
    task = shared_admin.get(f"/v1/tasks/{lease['task_id']}", params=seen).json()
    assert task["result"] == accepted[0]


def test_a_thousand_reports_of_one_attempt_end_it_once(
    shared_admin: httpx.Client, hire: Hire
) -> None:
    worker = hire()
    submit(shared_admin, worker, 1)
    [lease] = worker.lease()
    progress = {**held(lease), "type": "progress", "fraction": 0.5}
    completed = {**held(lease), "type": "completed"}

    outcomes = worker.report(*[progress] * 500, *[completed] * 500)

    assert [outcome["accepted"] for outcome in outcomes] == [True] * 501 + [False] * 499
    assert {outcome["error"]["code"] for outcome in outcomes[501:]} == {"stale_attempt"}


def test_nobody_reports_or_renews_the_work_of_another_agent(
    shared_admin: httpx.Client, hire: Hire
) -> None:
    worker = hire()
    thief = hire()
    submit(shared_admin, worker, 1)
    [lease] = worker.lease()

    heard = thief.beat([held(lease)])
    [stolen] = thief.report({**held(lease), "type": "completed", "result": "stolen"})
    elsewhere = thief.client.post(f"/v1/agents/{worker.agent_id}/heartbeat", json={})

    assert heard["lost"] == [held(lease)]
    assert stolen["error"]["code"] == "not_found"
    assert elsewhere.status_code == 404
    assert worker.report({**held(lease), "type": "completed"})[0]["accepted"]


def test_an_agent_that_asks_many_times_at_once_gets_no_more_than_its_slots(
    shared_admin: httpx.Client, hire: Hire
) -> None:
    worker = hire(slots=3)
    tasks = submit(shared_admin, worker, 12)
    finished: list[str] = []

    while len(finished) < len(tasks):
        answers = at_once(6, lambda _: worker.lease(slots=1_000, wait_seconds=0.2))
        leases = [lease for answer in answers for lease in answer]
        assert len(leases) <= 3
        if leases:
            worker.report(*({**held(lease), "type": "completed"} for lease in leases))
        finished += [lease["task_id"] for lease in leases]

    assert sorted(finished) == sorted(tasks)


def test_work_for_a_worker_that_was_cut_off_is_there_for_the_next_one(
    shared_service: Service, shared_admin: httpx.Client, hire: Hire
) -> None:
    worker = hire(slots=4)
    for _ in range(5):
        hang_up_while_waiting(shared_service, worker)

        [task_id] = submit(shared_admin, worker, 1)

        [lease] = worker.lease()
        assert lease["task_id"] == task_id
        worker.report({**held(lease), "type": "completed"})


def hang_up_while_waiting(service: Service, worker: Worker) -> None:
    port = int(service.url.rpartition(":")[2])
    body = b'{"slots": 1, "wait_seconds": 30}'
    head = (
        f"POST /v1/agents/{worker.agent_id}/leases HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: {worker.client.headers['Authorization']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head.encode() + body)


def test_a_task_that_was_accepted_is_found_at_once_by_whoever_asks(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    def submit_and_ask(count: int) -> list[int]:
        with shared_service.client() as client:
            statuses = []
            for _ in range(count):
                task_id = client.post("/v1/tasks", json={"kind": "asked"}).json()["task_id"]
                statuses.append(client.get(f"/v1/tasks/{task_id}/status").status_code)
            return statuses

    with ThreadPoolExecutor(4) as threads:
        statuses = [one for some in threads.map(submit_and_ask, [50] * 4) for one in some]

    assert set(statuses) == {200}


def test_what_a_retired_agent_held_is_done_by_another_without_costing_an_attempt(
    shared_admin: httpx.Client, hire: Hire
) -> None:
    first, second = hire(), hire()
    capabilities = {"capabilities": [second.capability, first.capability]}
    shared_admin.patch(f"/v1/agents/{second.agent_id}", json=capabilities).raise_for_status()
    [task_id] = submit(shared_admin, first, 1)
    first.lease()

    shared_admin.post(f"/v1/agents/{first.agent_id}/retire").raise_for_status()
    [lease] = second.lease(wait_seconds=20)

    assert held(lease) == {"task_id": task_id, "attempt": 2}
    assert shared_admin.get(f"/v1/tasks/{task_id}").json()["failures"] == 0


def test_an_administrator_of_one_tenant_does_not_set_the_whole_installation_to_work(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    user = {"username": "tenant-admin", "password": PASSWORD_OF_OTHERS, "scopes": ["admin"]}
    shared_admin.post("/v1/users", json=user | {"tenant": "tt1"}).raise_for_status()

    with shared_service.client("tenant-admin", PASSWORD_OF_OTHERS) as foreign:
        answer = foreign.post("/v1/read-models/task_board/rebuild")

    assert answer.status_code == 404


def test_a_follower_that_is_ahead_of_the_log_is_told_so(shared_admin: httpx.Client) -> None:
    answer = shared_admin.get("/v1/events", params={"after": "1:999999999999999"})

    assert (answer.status_code, answer.json()["code"]) == (422, "cursor_ahead")


@pytest.mark.parametrize("name", ["txt.\u202egnp", "a\u200bb", "a\x9bb", "a\u2028b"])
@pytest.mark.parametrize("path", ["/v1/agents", "/v1/clients"])
def test_a_name_that_would_show_as_another_is_refused(
    shared_admin: httpx.Client, path: str, name: str
) -> None:
    body = {"name": name} | (
        {"capabilities": ["x"]} if path == "/v1/agents" else {"scopes": ["tasks:read"]}
    )

    assert shared_admin.post(path, json=body).status_code == 422
