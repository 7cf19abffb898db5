"""The service keeps to its own description, whatever is sent (Schemathesis, every check).

What no schema can say is added to requests on their way: keys that were not used before, cursors
that the log has reached, no deadlines, restores that only tell their plan, and the ids and tokens
of an agent for what agents do. NUL and numbers beyond 64 bits are left out: to say so in every
schema would help nobody.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest

from tests.interfaces.service import Service

schemathesis = pytest.importorskip("schemathesis", reason="a development dependency")
ParameterLocation = pytest.importorskip("schemathesis.core.parameters").ParameterLocation
engine = pytest.importorskip("schemathesis.engine")
events = pytest.importorskip("schemathesis.engine.events")

WORK = ("/heartbeat", "/leases", "/reports", "/output")
START_OF_LOG = "1:0"
WEBHOOK = {
    "url": "https://example.org/hook",
    "channels": ["tasks", "system"],
    "after": "now",
    "cursors": [START_OF_LOG],
}
PAST = {"policy": "weighted_load", "predicate": "queue.depth > 1", "from": "1:1", "to": "1:2"}
CONFIGURATION = schemathesis.config.SchemathesisConfig.from_str("""
seed = 4711
request-timeout = 40.0
continue-on-failure = true

[generation]
max-examples = 5
allow-x00 = false
database = "none"

[phases.stateful]
max-steps = 5
""")


@dataclass(frozen=True)
class Callers:
    """Somebody who may do everything, and an agent's program for what only that may."""

    prober: str
    worker: str
    agent_id: str
    kept_ids: frozenset[str]

    def get(self, case: Any, _: Any) -> str:
        """The credentials for a request."""
        return self.worker if case.operation.path.endswith(WORK) else self.prober

    def set(self, case: Any, credentials: str, _: Any) -> None:
        """Put them where they belong."""
        case.headers["Authorization"] = credentials

    def make_sense(self, case: Any) -> None:
        """Add what a schema cannot say, to those parts of a request that are meant to be right."""
        if not case.meta.is_negative_at(ParameterLocation.PATH):
            self._name_things(case)
        if "If-Match" in (case.headers or {}):
            case.headers["If-Match"] = "*"
        if not case.meta.is_negative_at(ParameterLocation.HEADER):
            _renew_key(case.headers)
        if not case.meta.is_negative_at(ParameterLocation.QUERY):
            _ask_for_what_is(case.query, case.operation.path)
        if not case.meta.is_negative_at(ParameterLocation.BODY):
            _ask_for_what_can_be(case.body, case.operation.path)

    def _name_things(self, case: Any) -> None:
        for name, value in dict(case.path_parameters or {}).items():
            if case.operation.path.endswith(WORK):
                case.path_parameters[name] = self.agent_id
            elif value in self.kept_ids:
                # Nobody removes or renews what this test itself signs in with.
                case.path_parameters[name] = str(uuid4())


def _renew_key(headers: Any) -> None:
    if "Idempotency-Key" in (headers or {}):
        headers["Idempotency-Key"] = str(uuid4())


def _ask_for_what_is(query: Any, path: str) -> None:
    for name in {"seen", "after", "until"} & set(query or {}):
        query[name] = START_OF_LOG
    if path.endswith("/export"):
        for name in {"from", "to"} & set(query or {}):
            query[name] = PAST[name]
    if path.endswith("/proof"):
        query.clear()
        query["position"] = "1"
    _ask_for_what_was(query or {}, path)
    if "wait" in (query or {}):
        query["wait"] = 0
    if "cursor" in (query or {}) and path.endswith(("/activity", "/dead-letters", "/trail")):
        query["cursor"] = START_OF_LOG


def _ask_for_what_was(query: Any, path: str) -> None:
    if path == "/v1/state":
        query.pop("cursor", None)
        query.pop("at", None)
    for name in {"at", *({"from", "to"} if path.endswith("/diff") else ())} & set(query):
        query[name] = "v1"
        # What was brings no news.
        query.pop("wait", None)
        query.pop("after_version", None)


def _ask_for_what_can_be(body: Any, path: str) -> None:
    if not isinstance(body, dict):
        return
    body.pop("tenant", None)  # not every scope can be given in every tenant
    many = body.get("tasks") or body.get("reports")
    for one in [body, *(many if isinstance(many, list) else [])]:
        if isinstance(one, dict):
            one.pop("deadline", None)
            for name in {"input", "result"} & set(one):
                one[name] = one[name] if _is_exact(one[name]) else None
    if "wait_seconds" in body:
        body["wait_seconds"] = 0
    if path.endswith("/restore"):
        # What is probed here is the one store that there is.
        body["dry_run"] = True
        body.pop("to_time", None)
        if "to_position" in body:
            body["to_position"] = 1
    for name in WEBHOOK.keys() & body.keys():
        body[name] = WEBHOOK[name]
    for name in PAST.keys() & body.keys():
        body[name] = PAST[name]


def _is_exact(value: Any) -> bool:
    """Whether all its numbers can be said in 64 bits."""
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


@pytest.fixture
def callers(service: Service, admin: httpx.Client) -> Iterator[Callers]:
    client = admin.post("/v1/clients", json={"name": "p", "scopes": ["admin"]}).json()
    agent = admin.post("/v1/agents", json={"name": "p", "capabilities": ["p"]}).json()
    (administrator,) = admin.get("/v1/users").json()["items"]
    with (
        service.machine(client["client_id"], client["client_secret"]) as prober,
        service.machine(agent["client_id"], agent["client_secret"]) as worker,
    ):
        kept_ids = {client["client_id"], agent["agent_id"], administrator["user_id"]}
        callers = Callers(
            prober=prober.headers["Authorization"],
            worker=worker.headers["Authorization"],
            agent_id=agent["agent_id"],
            kept_ids=frozenset(kept_ids),
        )

        def before_call(_: Any, case: Any, kwargs: dict[str, Any]) -> None:
            callers.make_sense(case)

        schemathesis.hook(before_call)
        yield callers
        schemathesis.hooks.unregister_all()


# The service draws chance in this process, which Hypothesis takes for a strategy that does.
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
def test_the_service_keeps_to_its_description(service: Service, callers: Callers) -> None:
    url = f"{service.url}/openapi.json"
    described = schemathesis.openapi.from_url(url, config=CONFIGURATION)
    # An answer that does not end is looked at elsewhere (test_http_stream).
    described = described.exclude(path="/v1/stream")
    # What an export is no schema says (test_http_imports_attacks).
    described = described.exclude(path="/v1/events/import")
    described.auth.providers.append(callers)

    failures: dict[str, str] = {}
    checked = 0
    for event in engine.from_schema(described).execute():
        match event:
            case events.ScenarioFinished(recorder=recorder):
                for case_id, checks in recorder.checks.items():
                    checked += len(checks)
                    for check in checks:
                        if check.status is engine.Status.FAILURE and check.failure_info:
                            failures[_where(recorder, case_id)] = str(check.failure_info.failure)
            case events.NonFatalError(label=label, value=error):
                failures[label] = repr(error)
            case events.FatalError(exception=error):
                raise error
            case events.EngineFinished(stop_reason=reason):
                assert reason is engine.StopReason.COMPLETED

    assert failures == {}, "\n\n".join(f"{where}\n{what}" for where, what in failures.items())
    assert checked > 2_000


def _where(recorder: Any, case_id: str) -> str:
    case = recorder.cases[case_id].value
    answer = recorder.interactions[case_id].response
    content = answer.content.decode() if answer and answer.content else ""
    return f"{case.operation.label}: {case.as_curl_command()}\n{content[:500]}"
