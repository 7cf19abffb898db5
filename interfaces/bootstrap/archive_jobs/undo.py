"""Brings back the store that the last restore put aside: `{"store_id", "epoch", "order"}`;
the epoch is the one that it ends, the order as `order_members` has it."""

from hashlib import sha256
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import TupleRow

from application.archives.ports import JobFailed, Told
from application.archives.restored import Beginning, order_from
from application.archives.restores import NothingToUndo
from domain.merkle import Tree
from infrastructure.archives.folding import folding
from infrastructure.archives.former_stores import Former, formers_in
from infrastructure.archives.next_store import restoring, translated
from infrastructure.archives.standing import Standing, contents_of
from infrastructure.archives.switching import Change, Switch, refuse_ended
from infrastructure.mapper import CatalogueMapper
from infrastructure.postgres.migrate import MigrationFailed, migrate
from infrastructure.postgres.row_copy import rows_of
from infrastructure.postgres.seals import copy_statement
from interfaces.bootstrap.archive_jobs.context import JobContext
from interfaces.bootstrap.archive_jobs.restore import result_of, urls_of

LEAVES_AT_ONCE = 10_000


def run(context: JobContext, request: dict[str, Any], told: Told) -> dict[str, Any]:
    """`{"from_epoch", "to_epoch", "position", "events"}`: it goes on in an epoch of its own, with
    the accounts and keys as they are now, and what serves is put aside.

    Raises NothingToUndo, JobFailed, JobUnderWay, DatabaseUnavailable.
    """
    urls = urls_of(context)
    with restoring(urls[0]) as connection:
        refuse_ended(connection, request["epoch"])
        former = _newest(connection)
        try:
            migrate(*urls, schema=former.schema)
        except MigrationFailed as error:
            raise JobFailed("migration_failed", str(error)) from error
        tree, contents = _tree_of(connection, former, told)
        with folding(urls[0], former.schema, told) as fold:
            fold.fold(contents.last)
            tasks = fold.leased()
        told("switch", 0, 1)
        change = Change(
            schema=former.schema,
            store_id=UUID(request["store_id"]),
            position=contents.last,
            size=tree.size,
            root=tree.root,
            contents=contents,
            issued=contents.last,
            epoch=max(one.epoch for one in formers_in(connection)),
            archive_id=None,
            manifest_sha256=None,
            undone=True,
            live_epoch=request["epoch"],
        )
        beginning = Beginning(
            order=order_from(request["order"]),
            signer=context.signer(),
            encode=CatalogueMapper().encode,
            tasks=tasks,
        )
        return result_of(Switch(connection, urls[1], beginning).run(change))


def _newest(connection: Connection[TupleRow]) -> Former:
    formers = formers_in(connection)
    if not formers:
        raise NothingToUndo("No store was put aside, or it was dropped after its 7 days.")
    return formers[0]


def _tree_of(connection: Connection[TupleRow], former: Former, told: Told) -> tuple[Tree, Standing]:
    """The tree over its log, of the rows themselves, and what stood there before they were
    read."""
    with translated():
        contents = contents_of(connection, former.schema)
        statement = copy_statement(after=None, until=None)
        rows = rows_of(
            connection,
            statement.replace(b"FROM musterroll.events", f"FROM {former.schema}.events".encode()),
        )
        tree, leaves = Tree(), []
        for content in rows:
            leaves.append(sha256(content).digest())
            if len(leaves) == LEAVES_AT_ONCE:
                tree.grow(leaves)
                leaves.clear()
                told("check", tree.size, 0)
        tree.grow(leaves)
    return tree, contents
