"""Goal: what came of a restore or a drill is not hidden by a disk that is full when it tidies up.
Method: a connection that has no room for the dropping alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg import sql

from application.archives.faults import BadArchive
from infrastructure.archives.next_store import NextStore
from interfaces.bootstrap.archive_jobs import drill


class NoRoomToDrop:
    """A connection to a server that creates and cannot drop."""

    info = SimpleNamespace(backend_pid=1)

    def execute(self, statement: sql.Composed | str, *_: object) -> Any:
        text = statement.as_string() if isinstance(statement, sql.Composed) else statement
        if text.startswith("DROP"):
            raise psycopg.errors.DiskFull("could not extend file")
        return SimpleNamespace(fetchall=list)


def test_why_a_restore_failed_is_told_though_its_store_cannot_be_dropped() -> None:
    store = NextStore(NoRoomToDrop())  # type: ignore[arg-type]

    with pytest.raises(BadArchive) as failed, store.thrown_away_unless_done():
        raise BadArchive("root_differs", "Its events are others")

    assert failed.value.fault == "root_differs"


def test_what_a_drill_found_is_told_though_its_database_cannot_be_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @contextmanager
    def session(_: str) -> Iterator[NoRoomToDrop]:
        yield NoRoomToDrop()

    monkeypatch.setattr(drill, "owner_session", session)

    with drill.scratch_database("host=a", "host=b") as urls:
        found = urls

    assert found[0].startswith("host=a dbname=musterroll_drill_1_")
