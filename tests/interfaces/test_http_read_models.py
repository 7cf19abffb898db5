"""Rebuilding a read model over HTTP."""

import time

import httpx
import psycopg

from tests.conftest import Database
from tests.interfaces.service import Service


def test_a_read_model_that_was_damaged_is_made_anew_from_the_log(
    service: Service, admin: httpx.Client, database: Database
) -> None:
    task = admin.post("/v1/tasks", json={"kind": "k"}).json()
    seen = {"seen": task["cursor"]}
    assert admin.get(f"/v1/tasks/{task['task_id']}", params=seen).json()["kind"] == "k"
    with psycopg.connect(database.url) as connection:
        connection.execute("UPDATE musterroll.task_board SET kind = 'tampered'")

    answer = admin.post("/v1/read-models/task_board/rebuild")

    assert (answer.status_code, answer.json()) == (202, {"read_model": "task_board"})
    deadline = time.monotonic() + 10
    while admin.get(f"/v1/tasks/{task['task_id']}").json()["kind"] != "k":
        assert time.monotonic() < deadline


def test_an_unknown_read_model_is_not_found(admin: httpx.Client) -> None:
    answer = admin.post("/v1/read-models/secrets/rebuild")

    assert (answer.status_code, answer.json()["code"]) == (404, "read_model_not_found")
