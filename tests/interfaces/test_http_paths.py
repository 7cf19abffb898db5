"""Which endpoint a path leads to."""

import asyncio
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from interfaces.http.errors import NoSuchPath
from interfaces.http.paths import Paths

TEMPLATES = [
    "/",
    "/v1/tasks",
    "/v1/tasks/{task_id}",
    "/v1/tasks/counts",
    "/v1/tasks/{task_id}/status",
    "/problems/{code}",
]


class Endpoint:
    """Notes that it was asked."""

    def __init__(self, template: str) -> None:
        self._template = template

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["found"] = self._template


def found(path: str, **more: Any) -> tuple[str, dict[str, str]]:
    scope: dict[str, Any] = {"path": path, **more}
    paths = Paths({template: Endpoint(template) for template in TEMPLATES})

    async def asked() -> None:
        await paths(scope, None, None)  # type: ignore[arg-type]  # the endpoints look at neither

    asyncio.run(asked())
    return scope["found"], scope.get("path_params", {})


@pytest.mark.parametrize(
    ("path", "template", "parameters"),
    [
        ("/", "/", {}),
        ("/v1/tasks", "/v1/tasks", {}),
        ("/v1/tasks/counts", "/v1/tasks/counts", {}),
        ("/v1/tasks/7", "/v1/tasks/{task_id}", {"task_id": "7"}),
        ("/v1/tasks/7/status", "/v1/tasks/{task_id}/status", {"task_id": "7"}),
        ("/v1/tasks/counts/status", "/v1/tasks/{task_id}/status", {"task_id": "counts"}),
        ("/v1/tasks/{}", "/v1/tasks/{task_id}", {"task_id": "{}"}),
        ("/problems/gone", "/problems/{code}", {"code": "gone"}),
    ],
)
def test_a_path_leads_to_the_endpoint_that_serves_it(
    path: str, template: str, parameters: dict[str, str]
) -> None:
    assert found(path) == (template, parameters)


def test_what_the_server_puts_before_every_path_is_left_out() -> None:
    assert found("/plane/v1/tasks", root_path="/plane") == ("/v1/tasks", {})


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/v1",
        "/v1/tasks/",
        "/v1/tasks//status",
        "/v1/tasks/7/",
        "/v1/tasks/7/8",
        "/v1/{}/7",
        "/problems/",
        "/problems/a/b",
        "//status",
        "v1/tasks",
        "/tasks/counts",
    ],
)
def test_another_path_leads_nowhere(path: str) -> None:
    with pytest.raises(NoSuchPath):
        found(path)
