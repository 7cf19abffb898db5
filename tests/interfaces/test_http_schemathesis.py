"""The service keeps to its own description, whatever is sent (Schemathesis, all checks).

The hook below gives requests what no schema can say: keys that were not used before, cursors that
the log has reached, deadlines to come, and the ids and tokens of an agent for what agents do.
"""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, settings
from schemathesis import openapi
from schemathesis.core.parameters import ParameterLocation

import schemathesis
from tests.interfaces.service import Service

WORK = ("/heartbeat", "/leases", "/reports")
START_OF_LOG = "1:0"
EXAMPLES_MAX = 12


@pytest.fixture(scope="module")
def description(shared_service: Service, shared_admin: httpx.Client) -> Any:
    """The service's own description, and how to call it as somebody who may."""
    scopes = ["admin"]
    client = shared_admin.post("/v1/clients", json={"name": "prober", "scopes": scopes}).json()
    agent = shared_admin.post("/v1/agents", json={"name": "p", "capabilities": ["p"]}).json()
    with (
        shared_service.machine(client["client_id"], client["client_secret"]) as prober,
        shared_service.machine(agent["client_id"], agent["client_secret"]) as worker,
    ):
        described = openapi.from_url(f"{shared_service.url}/openapi.json")

        @described.hook
        def before_call(_: Any, case: Any, kwargs: dict[str, Any]) -> None:
            working = case.operation.path.endswith(WORK)
            caller = worker if working else prober
            kwargs.setdefault("headers", {}).update(
                {"Authorization": caller.headers["Authorization"]}
            )
            kwargs["timeout"] = 40
            if working and _sound(case, ParameterLocation.PATH):
                case.path_parameters["agent_id"] = agent["agent_id"]
            _spare(case, {client["client_id"], agent["agent_id"]})
            _make_sense(case)

        yield described


def _spare(case: Any, ours: set[str]) -> None:
    """Nobody removes or renews what this test itself signs in with."""
    for name, value in dict(case.path_parameters or {}).items():
        if value in ours and not case.operation.path.endswith(WORK):
            case.path_parameters[name] = str(uuid4())


def _make_sense(case: Any) -> None:
    """What a schema cannot say, for the parts of a request that are meant to be right."""
    if _sound(case, ParameterLocation.HEADER) and "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = str(uuid4())
    if _sound(case, ParameterLocation.QUERY):
        for name in {"seen", "after", "until"} & set(case.query or {}):
            case.query[name] = START_OF_LOG
        if "wait" in (case.query or {}):
            case.query["wait"] = 0
        if "cursor" in (case.query or {}) and case.operation.path == "/v1/activity":
            case.query["cursor"] = START_OF_LOG
    if _sound(case, ParameterLocation.BODY) and isinstance(case.body, dict):
        for task in (case.body, *(case.body.get("tasks") or ())):
            if isinstance(task, dict):
                task.pop("deadline", None)
        if "wait_seconds" in case.body:
            case.body["wait_seconds"] = 0


def _sound(case: Any, location: Any) -> bool:
    return not case.meta.is_negative_at(location)


api = schemathesis.pytest.from_fixture("description")


@api.parametrize()
@settings(
    max_examples=EXAMPLES_MAX,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_every_operation_keeps_to_its_description(case: Any) -> None:
    case.call_and_validate()
