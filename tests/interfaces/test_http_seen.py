"""What a caller says to have seen must have been committed, whatever is asked for."""

from uuid import UUID

import httpx
import pytest

from tests.interfaces.live import submitted
from tests.interfaces.service import Service

PATHS = [
    "/v1/tasks",
    "/v1/agents",
    "/v1/activity",
    "/v1/events",
    "/v1/state",
    "/v1/audit/heads",
    "/v1/audit/keys",
    "/v1/audit/proof?position=1",
    "/v1/audit/trail",
    "/v1/events/1/causes",
    "/v1/events/1/effects",
    "/v1/tasks/{task_id}",
    "/v1/tasks/{task_id}/why",
    "/v1/backups",
    "/v1/clients",
    "/v1/users",
    "/v1/webhooks",
    f"/v1/webhooks/{UUID(int=0)}/dead-letters",
]


@pytest.mark.parametrize("path", PATHS)
def test_what_nobody_can_have_seen_is_refused(
    shared_service: Service, shared_admin: httpx.Client, path: str
) -> None:
    path = path.format(task_id=submitted(shared_admin))

    def asked(seen: str) -> tuple[int, str | None]:
        answer = shared_admin.get(path, headers={"Musterroll-Seen": seen})
        return answer.status_code, answer.json().get("code")

    assert asked("1:999999999") == (422, "cursor_ahead")
    assert asked("9:1") == (410, "epoch_ended")
    assert asked("one") == (422, "bad_cursor")
    assert asked("1:1")[0] in (200, 404, 409)
