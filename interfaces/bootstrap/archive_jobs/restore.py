"""Restores an archive beside the live store and switches: as `plan`, and `{"epoch", "order"}`; the
epoch is the one that it ends, the order as `order_members` has it."""

from typing import Any

from application.archives.ports import Told
from application.archives.restored import Beginning, RestoreOrder, order_from
from application.seals.ports import Signer
from domain.restoration import Restoration
from infrastructure.archives.next_store import NextStore, restoring
from infrastructure.archives.restoring import Built, Source, build
from infrastructure.archives.switching import Change, Switch, refuse_ended
from infrastructure.mapper import CatalogueMapper
from interfaces.bootstrap.archive_jobs.context import JobContext
from interfaces.bootstrap.archive_jobs.plan import cut_in, source_in

POSITIONS_LEFT_OUT, EPOCHS_LEFT_OUT = 5_000_000, 100
"""By a restore into an empty machine: see the decision in infrastructure/README.md."""


def run(context: JobContext, request: dict[str, Any], told: Told) -> dict[str, Any]:
    """`{"from_epoch", "to_epoch", "position", "events", "different"}`; the last names read models
    that are not what they were. The live store is untouched before the switch, and put aside by it.

    Raises JobFailed, JobUnderWay, BadArchive, BadIdentity, BeyondArchive, BeforeHistory,
    RepositoryUnavailable, DatabaseUnavailable.
    """
    told("plan", 0, 0)
    source = source_in(context, request)
    cut = cut_in(source, request)
    urls = urls_of(context)
    with restoring(urls[0]) as connection:
        refuse_ended(connection, request["epoch"])
        store = NextStore(connection)
        with store.thrown_away_unless_done():
            built = build(
                store, source, cut, urls=urls, tables=None, effort=context.effort, told=told
            )
            told("switch", 0, 1)
            change = change_of(store.schema, source, built, live_epoch=request["epoch"])
            order = order_from(request["order"])
            switch = switch_of(store, urls, context.signer(), order, built)
            restored = switch.run(change)
    return {**result_of(restored), "different": list(built.different)}


def urls_of(context: JobContext) -> tuple[str, str]:
    """The owner's, and the application's."""
    assert context.owner_url is not None, "the service has a database"
    assert context.database_url is not None, "the service has a database"
    return context.owner_url, context.database_url


def change_of(schema: str, source: Source, built: Built, *, live_epoch: int | None) -> Change:
    """What comes into the place of the live store of that epoch, or where there is none. There
    nobody knows what came after the newest archive: what it may have had is left out."""
    manifest = source.chain.newest
    every, positions, epochs = [manifest], 0, 0
    if live_epoch is None:
        every = [one.manifest for one in source.catalogue.manifests()]
        positions, epochs = POSITIONS_LEFT_OUT, EPOCHS_LEFT_OUT
    return Change(
        schema=schema,
        store_id=manifest.store_id,
        position=built.cut.position,
        size=built.tree.size,
        root=built.tree.root,
        contents=built.contents,
        issued=max(one.issued for one in every) + positions,
        epoch=max(one.epoch for one in every) + epochs,
        archive_id=manifest.archive_id,
        manifest_sha256=source.file.sha256,
        undone=False,
        live_epoch=live_epoch,
    )


def switch_of(
    store: NextStore,
    urls: tuple[str, str],
    signer: Signer,
    order: RestoreOrder | None,
    built: Built,
) -> Switch:
    """The switch that begins the epoch; without an order where there is no service yet."""
    beginning = Beginning(
        order=order, signer=signer, encode=CatalogueMapper().encode, tasks=built.tasks
    )
    return Switch(store.connection, urls[1], beginning)


def result_of(restored: Restoration) -> dict[str, Any]:
    """As JSON."""
    return {
        "from_epoch": restored.from_epoch,
        "to_epoch": restored.to_epoch,
        "position": restored.at_position,
        "events": restored.size,
    }
