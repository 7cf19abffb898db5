"""Says what a restore would do: `{"store_id", "archive_id", "to_position", "to_time"}`."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from application.archives.format import CONTENTS, HISTORY, time_from
from application.archives.ports import Told
from application.archives.restores import Lost, Plan, plan_members
from application.cursor import Cursor
from infrastructure.archives.cutting import Cut
from infrastructure.archives.former_stores import formers_in
from infrastructure.archives.next_store import SQL, owner_session, translated
from infrastructure.archives.restoring import Source, source_of
from interfaces.bootstrap.archive_jobs.context import JobContext

LOADED_PER_SECOND, FOLDED_PER_SECOND = 80_000, 25_000
"""Events, where no drill has told how many it is here: of real restores on a quiet machine, where
checking, loading and indexing them came to some 85,000 (2026-11-24)."""
DRILLED_EVENTS_MIN = 100_000
"""A drill of fewer tells more of how long it takes to make a database."""
SECONDS_MIN = 3.0


def run(context: JobContext, request: dict[str, Any], told: Told) -> dict[str, Any]:
    """A plan, as `plan_members` has it. Raises BadArchive, BadIdentity, BeyondArchive,
    BeforeHistory, RepositoryUnavailable, DatabaseUnavailable."""
    told("plan", 0, 0)
    source = source_in(context, request)
    cut = cut_in(source, request)
    # Nothing is promised that a restore would then refuse for want of a key.
    source.require_readable(cut)
    return plan_members(plan_of(context, source, cut))


def source_in(context: JobContext, request: dict[str, Any]) -> Source:
    """The archive that a request names. Raises BadArchive, RepositoryUnavailable."""
    store_id = UUID(request["store_id"])
    return source_of(
        context.repository(store_id),
        store_id,
        UUID(request["archive_id"]) if request.get("archive_id") else None,
        identity_file=context.settings.backup_identity_file,
        trusted=context.trusted_keys,
    )


def cut_in(source: Source, request: dict[str, Any]) -> Cut:
    """Up to where a request wants it. Raises what `cut_of` raises."""
    time: datetime | None = time_from(request["to_time"]) if request.get("to_time") else None
    return source.cut(position=request.get("to_position"), time=time)


def plan_of(context: JobContext, source: Source, cut: Cut) -> Plan:
    """Held against the store that serves. Raises BadArchive, BadIdentity, RepositoryUnavailable,
    DatabaseUnavailable."""
    manifest = source.chain.newest
    assert context.owner_url is not None, "a plan is made beside a store"
    with owner_session(context.owner_url) as connection, translated():
        schema = sql.Identifier("musterroll")
        row = connection.execute(sql.SQL(SQL["standing"]).format(schema=schema)).fetchone()
        assert row is not None
        _, epoch, _, _ = row
        behind = sql.SQL(SQL["behind"]).format(schema=schema)
        fork = fork_of(connection, source, cut)
        lost = connection.execute(behind, (fork,)).fetchone()
        formers = [one.epoch for one in formers_in(connection)]
        seconds = _seconds(connection, cut.size)
    files = [
        file
        for content in CONTENTS
        if content in HISTORY or content == "seal_keys"
        for file in source.chain.files(content)
        if content != "events" or file.first <= cut.position
    ]
    return Plan(
        archive_id=manifest.archive_id,
        position=cut.position,
        time=cut.at,
        events=cut.size,
        from_epoch=epoch,
        to_epoch=max([epoch, manifest.epoch, *formers]) + 1,
        lost=_lost(lost, fork, epoch),
        bytes=sum(file.size for file in files),
        estimate_seconds=round(seconds, 1),
        into="beside the live store",
    )


def fork_of(connection: Connection[TupleRow], source: Source, cut: Cut) -> int:
    """The last position up to which the store that serves and the archive up to the cut are one
    log; 0 where they share nothing.

    Raises BadArchive, BadIdentity, RepositoryUnavailable, psycopg.Error.
    """
    common = sql.SQL(SQL["common"]).format(schema=sql.Identifier("musterroll"))

    def shared(positions: Sequence[int]) -> int:
        row = connection.execute(common, (list(positions),)).fetchone()
        return row[0] or 0 if row is not None else 0

    if shared([cut.position]):
        return cut.position
    files = [file for file in source.chain.files("events") if file.first <= cut.position]
    at = bisect_left(files, True, key=lambda file: not shared([file.last]))
    before = files[at - 1].last if at else 0
    if at == len(files) or not shared([files[at].first]):
        return before
    events = source.files.events(files[at])
    return shared([position for position in events.positions if position <= cut.position])


def _seconds(connection: Connection[TupleRow], events: int) -> float:
    """At the pace of the last good drill, which does all that a restore does but the switch. Raises
    psycopg.Error."""
    drilled = sql.SQL(SQL["drilled"]).format(schema=sql.Identifier("musterroll"))
    seconds = events / LOADED_PER_SECOND + events / FOLDED_PER_SECOND
    if row := connection.execute(drilled).fetchone():
        drill = orjson.loads(bytes(row[0]))
        if drill["events"] >= DRILLED_EVENTS_MIN:
            seconds = events * drill["seconds"] / drill["events"]
    return max(seconds, SECONDS_MIN)


def _lost(row: TupleRow | None, fork: int, epoch: int) -> Lost | None:
    if row is None:
        return None
    events, last, first, topic, recorded_at = row
    return Lost(
        events=events,
        after=str(Cursor(epoch, fork)),
        first=str(Cursor(epoch, first)),
        first_type=topic,
        first_at=recorded_at,
        until=str(Cursor(epoch, last)),
    )
