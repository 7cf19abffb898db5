"""Every refusal is a problem, every answer has its headers, and nothing goes wrong silently."""

import ast
import inspect
import json
import os
import re
import time
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import structlog
from structlog.testing import capture_logs

from domain.errors import ControlPlaneError
from interfaces.http import envelope, openapi, routes
from interfaces.http.errors import STATUSES, TITLES, status_of
from interfaces.http.failures import every_kind
from interfaces.http.metrics import RequestMetrics
from interfaces.http.routes import table
from tests.conftest import APPLICATION_URL, OWNER_URL, Database
from tests.interfaces.service import Service

OPERATIONS = table(RequestMetrics())
MEMBERS = {"type", "title", "status", "detail", "instance", "code", "request_id"}


def test_a_refusal_is_a_problem(shared_admin: httpx.Client) -> None:
    answer = shared_admin.get("/v1/nothing?token=secret")

    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == MEMBERS
    assert problem["type"] == "/problems/no_such_path"
    assert problem["instance"] == "/v1/nothing"
    assert problem["request_id"] == answer.headers["X-Request-Id"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/tasks/",
        "//v1/tasks",
        "/v1//tasks",
        "/V1/tasks",
        "/v1/tasks/%2e%2e/users",
        "/v1",
        "/docs/",
        "/%00",
        "/v1/tasks\u00e9",
        "/openapi.json/x",
        "/problems/",
        "/problems/unheard_of",
    ],
)
def test_a_path_that_is_none_is_not_found_and_never_elsewhere(
    shared_admin: httpx.Client, path: str
) -> None:
    answer = shared_admin.get(path)

    assert answer.status_code == 404
    assert answer.json()["code"] == "no_such_path"


def test_every_path_names_its_methods(shared_admin: httpx.Client) -> None:
    allowed: dict[str, set[str]] = {}
    for operation in OPERATIONS:
        methods = allowed.setdefault(operation.path, {"OPTIONS"})
        methods |= {"GET", "HEAD"} if operation.method == "GET" else {operation.method}

    for path, methods in allowed.items():
        for method in ("GET", "PUT", "POST", "PATCH", "DELETE", "TRACE", "CONNECT", "BREW"):
            if method in methods or method == "CONNECT":
                continue
            answer = shared_admin.request(method, path)
            if method == "BREW":  # the parser knows no such method
                assert answer.status_code == 400
                continue
            assert answer.status_code == 405, (method, path)
            assert set(answer.headers["Allow"].split(", ")) == methods
            assert answer.json()["code"] == "method_not_allowed"
        options = shared_admin.options(path)
        assert (options.status_code, options.content) == (204, b"")
        assert set(options.headers["Allow"].split(", ")) == methods


def test_a_head_is_a_get_without_its_body(shared_admin: httpx.Client) -> None:
    for path in ("/v1/tasks", "/healthz", "/docs", "/openapi.json", "/nothing"):
        head, get = shared_admin.head(path), shared_admin.get(path)

        assert head.content == b""
        assert head.status_code == get.status_code
        assert head.headers["Content-Type"] == get.headers["Content-Type"]


def test_every_answer_keeps_to_itself(shared_admin: httpx.Client) -> None:
    for path in ("/v1/tasks", "/healthz", "/nothing", "/docs", "/problems/not_found"):
        headers = shared_admin.get(path, headers={"Origin": "https://evil.example"}).headers

        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Request-Id"]
        assert not [name for name in headers if name.lower().startswith("access-control")]
        assert "Server" not in headers


def test_request_ids_are_our_own(shared_admin: httpx.Client) -> None:
    sent = {"X-Request-Id": "evil\\nid"}

    ids = {shared_admin.get("/healthz", headers=sent).headers["X-Request-Id"] for _ in range(3)}

    assert len(ids) == 3
    assert not [one for one in ids if "evil" in one]


def test_an_accident_tells_its_request_id_and_nothing_else(
    service: Service, admin: httpx.Client
) -> None:
    service.process.queries = "hunter2"  # type: ignore[assignment]  # an accident

    with capture_logs() as lines:
        answer = admin.get("/v1/tasks?q=hunter3")
        answer = admin.get("/v1/tasks")

    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error"
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    failed = [line for line in lines if line["event"] == "request_failed"]
    assert [line["request_id"] for line in failed] == [answer.json()["request_id"]]
    assert "hunter3" not in str(lines)
    assert admin.get("/healthz").status_code == 200


def test_more_requests_than_can_be_answered_are_told_to_come_back(
    shared_admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envelope, "REQUESTS_OPEN_MAX", 0)

    answer = shared_admin.get("/v1/tasks")

    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert answer.headers["Retry-After"] == "1"


def test_a_log_that_cannot_be_written_fails_no_request(database: Database, tmp_path: Path) -> None:
    lost = []

    def broken(*line: object) -> Any:
        lost.append(line)
        raise BrokenPipeError

    with Service(database, tmp_path, log_level="info") as service:
        processors = structlog.get_config()["processors"]
        processors[:] = [broken]  # in place, as loggers keep the list
        answer = httpx.get(f"{service.url}/v1/tasks")

    assert answer.status_code == 401
    assert lost


def test_a_database_that_goes_away_is_told_as_such_and_comes_back(
    database: Database, admin: httpx.Client
) -> None:
    admin.get("/v1/tasks").raise_for_status()

    with psycopg.connect(os.environ[OWNER_URL], autocommit=True) as elsewhere:
        elsewhere.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false")
        with psycopg.connect(os.environ[APPLICATION_URL], autocommit=True) as ours:
            ours.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                [database.name],
            )
        asked = admin.get("/v1/tasks")
        ready = admin.get("/readyz")
        elsewhere.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS true")

    assert (asked.status_code, asked.json()["code"]) == (503, "database_unavailable")
    assert asked.headers["Retry-After"] == "1"
    assert (ready.status_code, ready.json()["code"]) == (503, "not_ready")
    assert ready.json()["ready"] is False
    assert ready.json()["checks"]["database"] == {"ok": False}
    assert admin.get("/healthz").status_code == 200
    deadline = time.monotonic() + 20
    while admin.get("/readyz").status_code != 200:
        assert time.monotonic() < deadline


def test_every_error_has_a_status_and_a_page(shared_admin: httpx.Client) -> None:
    kinds = [kind for kind in every_kind() if kind.__module__.split(".")[0] != "tests"]
    assert len(kinds) > 50

    for kind in kinds:
        assert any(issubclass(kind, ours) for ours, _ in STATUSES), kind
        assert status_of(kind) in TITLES
        assert kind.__doc__, kind
        answer = shared_admin.get(f"/problems/{kind.code}")
        assert answer.status_code == 200, kind
        assert "What to do" in answer.text


def test_codes_are_words_and_mean_one_status(shared_admin: httpx.Client) -> None:
    statuses: dict[str, set[int]] = {}
    for kind in every_kind(ControlPlaneError):
        statuses.setdefault(kind.code, set()).add(status_of(kind))

    assert all(code.replace("_", "").isalpha() and code.islower() for code in statuses)
    assert {code for code, found in statuses.items() if len(found) > 1} == set()


def test_routes_are_thin() -> None:
    for name in ("accounts", "agents", "events", "service", "tasks", "tokens", "workers"):
        tree = ast.parse(inspect.getsource(getattr(routes, name)))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Try)], name
        for node in tree.body:
            if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_"):
                lines = (node.end_lineno or 0) - node.body[0].lineno
                assert lines <= 15, f"{name}.{node.name} has {lines} lines"


# The service itself.


def test_the_service_lives_and_is_ready(shared_admin: httpx.Client) -> None:
    assert shared_admin.get("/healthz").json() == {"status": "ok"}
    found = shared_admin.get("/readyz").json()
    assert found["ready"] is True
    assert found["checks"]["database"] == {"ok": True}


def test_figures_name_templates_and_never_what_was_asked_for(admin: httpx.Client) -> None:
    admin.get("/v1/tasks/018f6a3e-1c2b-7d4e-9f00-0123456789ab?token=hunter2")
    admin.get("/hunter2")
    admin.request("PROPFIND", "/v1/tasks")

    answer = admin.get("/metrics")

    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "hunter2" not in answer.text
    assert "018f6a3e" not in answer.text
    for line in (
        'requests_total{method="GET",route="/v1/tasks/{task_id}",status="422"} 1.0',
        'requests_total{method="GET",route="unmatched",status="404"} 1.0',
        'requests_total{method="other",route="/v1/tasks",status="405"} 1.0',
        "musterroll_http_requests_open 1.0",
    ):
        assert line in answer.text


def test_the_front_door_leads_to_the_documents(shared_admin: httpx.Client) -> None:
    answer = shared_admin.get("/", headers={"Host": "evil.example"})

    assert (answer.status_code, answer.headers["Location"]) == (307, "/docs")


# The description.


def test_the_description_names_every_operation_and_status(shared_admin: httpx.Client) -> None:
    document = shared_admin.get("/openapi.json").json()

    assert document["openapi"].startswith("3.1")
    described = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    assert described == {(operation.method, operation.path) for operation in OPERATIONS}
    for operation in OPERATIONS:
        found = document["paths"][operation.path][operation.method.lower()]
        assert str(operation.status) in found["responses"]
        assert ("security" in found) == (operation.scope != "open")
        for kind in operation.errors:
            assert f"`{kind.code}`" in found["responses"][str(status_of(kind))]["description"]


def test_the_description_refers_to_nothing_that_is_not_there(shared_admin: httpx.Client) -> None:
    document = shared_admin.get("/openapi.json").json()

    def references(node: Any) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
            return own.union(*(references(one) for one in node.values()))
        if isinstance(node, list):
            return set().union(*(references(one) for one in node))
        return set()

    names = {reference.rpartition("/")[2] for reference in references(document)}
    assert names <= set(document["components"]["schemas"])
    ids = [found["operationId"] for path in document["paths"].values() for found in path.values()]
    assert len(set(ids)) == len(ids)


def test_the_description_is_the_same_each_time() -> None:
    first, second = (json.dumps(openapi.document(table(RequestMetrics()))) for _ in range(2))

    assert first == second


def test_the_documents_need_nothing_from_elsewhere(shared_admin: httpx.Client) -> None:
    page = shared_admin.get("/docs").text

    for operation in OPERATIONS:
        assert operation.path in page
        assert operation.summary.replace("'", "&#x27;") in page
    assert "<script" not in page
    assert "src=" not in page
    assert not re.search(r"(href|action|url\()\W*https?:", page)
