"""Goal: the past of a restored store is that of its own log, and nothing that was kept of the store
before it shows through. Method: a service with frames of its own, restored far back and undone."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psycopg
import pytest

from infrastructure.postgres.frames import PostgresFrames
from infrastructure.postgres.pool import make_pool
from tests.conftest import Database
from tests.interfaces.restored import backed_up, post, restored, store_of, undone
from tests.interfaces.service import Service
from tests.interfaces.test_restore_points import caught_up

State = dict[str, Any]


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    with Service(database, tmp_path, backup_seconds=0) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


def test_moments_before_and_after_a_restore_are_those_of_the_log_that_serves(
    client: httpx.Client, database: Database, rng: Random
) -> None:
    shown = lived(client, rng)
    cut = rng.choice(sorted(shown)[1:])
    keep_frame(client, database)
    shown |= lived(client, rng)
    plan = restored(client, backed_up(client), to_position=cut)

    present = state_at(client, cursor_of(client, caught_up(client)))
    since = lived(client, rng)
    kept = [position for position in shown if position <= cut]
    times = [state_at(client, one["at"]["time"]) for one in shown.values()]

    assert plan["position"] == cut
    assert frames_in(database, "musterroll") == 0
    assert frames_in(database, "musterroll_epoch_1") == 1
    for position in kept:
        assert alike(state_at(client, cursor_of(client, position)), shown[position]), position
    # What was recorded later is of no moment here any more: the time shows what stood there then.
    for state, position in zip(times, shown, strict=True):
        assert alike(state, shown[min(position, cut)]), position
    assert alike(present, shown[cut])
    for position, state in since.items():
        assert alike(state_at(client, cursor_of(client, position)), state), position


def test_a_store_that_comes_back_has_its_own_frames_and_not_those_of_the_one_between(
    client: httpx.Client, database: Database, rng: Random
) -> None:
    shown = lived(client, rng)
    keep_frame(client, database)
    shown |= lived(client, rng)
    restored(client, backed_up(client), to_position=min(shown))
    lived(client, rng)
    between = keep_frame(client, database)

    undone(client)
    since = lived(client, rng)

    assert frames_in(database, "musterroll") == 1
    assert between > max(shown)
    for position, state in (shown | since).items():
        assert alike(state_at(client, cursor_of(client, position)), state), position


def lived(client: httpx.Client, rng: Random) -> dict[int, State]:
    """Some tasks more, and what was shown of everything at some positions."""
    shown: dict[int, State] = {}
    for _ in range(3):
        for _ in range(rng.randrange(1, 3)):
            task = post(client, "/v1/tasks", {"kind": rng.choice(["review", "write"])})
            if rng.random() < 0.4:
                post(client, f"/v1/tasks/{task['task_id']}/cancel", {})
        task = post(client, "/v1/tasks", {"kind": "review"})
        shown[int(task["cursor"].partition(":")[2])] = state_at(client, task["cursor"])
    return shown


def state_at(client: httpx.Client, moment: str) -> State:
    """Everything as of a cursor or a time; the newest task is also asked for by itself."""
    state: State = client.get("/v1/state", params={"at": moment}).raise_for_status().json()
    task = max(state["tasks"]["items"], key=lambda one: str(one["id"]))
    at = {"at": state["at"]["cursor"]}
    one = client.get(f"/v1/tasks/{task['id']}", params=at).raise_for_status().json()
    assert one["status"] == task["status"]
    return state


def alike(state: State, other: State) -> bool:
    """But for the epoch that their cursors are of."""
    return bool(without_epochs(state) == without_epochs(other))


def without_epochs(part: Any) -> Any:
    """With positions where there are cursors, and without what is told of the moment itself."""
    if isinstance(part, dict):
        return {
            name: value.partition(":")[2] if name == "cursor" else without_epochs(value)
            for name, value in part.items()
            if name not in {"at", "next_cursor", "waiting_seconds"}
        }
    return [without_epochs(one) for one in part] if isinstance(part, list) else part


def cursor_of(client: httpx.Client, position: int) -> str:
    """In the epoch that is."""
    return f"{store_of(client)['epoch']}:{position}"


def keep_frame(client: httpx.Client, database: Database) -> int:
    """As the leader does after some events more; its position."""
    caught_up(client)
    with make_pool(database.url, connections_max=2) as pool:
        position = PostgresFrames(pool).take(after=0)
    assert position is not None
    return position


def frames_in(database: Database, schema: str) -> int:
    with psycopg.connect(database.owner_url) as owner:
        return len(owner.execute(f"SELECT FROM {schema}.frames").fetchall())
