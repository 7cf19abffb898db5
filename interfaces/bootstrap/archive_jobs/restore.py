"""Restores an archive beside the live store and switches: as `plan`, and `{"actor"}`."""

from typing import Any

from application.archives.ports import JobFailed, Told
from application.archives.restored import Beginning
from application.seals.ports import Signer
from domain.restoration import Restoration
from infrastructure.archives.next_store import NextStore, restoring
from infrastructure.archives.restoring import Built, Source, build
from infrastructure.archives.switching import Change, Switch
from infrastructure.mapper import CatalogueMapper
from interfaces.bootstrap.archive_jobs.context import JobContext
from interfaces.bootstrap.archive_jobs.plan import cut_in, source_in


def run(context: JobContext, request: dict[str, Any], told: Told) -> dict[str, Any]:
    """`{"from_epoch", "to_epoch", "position", "events"}`. The live store is untouched before the
    switch, and put aside by it.

    Raises JobFailed, JobUnderWay, BadArchive, BadIdentity, BeyondArchive, BeforeHistory,
    RepositoryUnavailable, DatabaseUnavailable.
    """
    told("plan", 0, 0)
    source = source_in(context, request)
    cut = cut_in(source, request)
    urls = urls_of(context)
    with restoring(urls[0]) as connection:
        store = NextStore(connection)
        try:
            built = build(store, source, cut, urls=urls, tables=False, told=told)
            refuse_different(built)
        except BaseException:
            store.drop()
            raise
        told("switch", 0, 1)
        change = change_of(store.schema, source, built, from_live=True)
        restored = switch_of(urls, context.signer(), request["actor"], built).run(change)
    return result_of(restored)


def urls_of(context: JobContext) -> tuple[str, str]:
    """The owner's, and the application's."""
    assert context.owner_url is not None, "the service has a database"
    assert context.database_url is not None, "the service has a database"
    return context.owner_url, context.database_url


def refuse_different(built: Built) -> None:
    """Raises JobFailed where a read model is not what it was."""
    if built.different:
        names = ", ".join(built.different)
        message = f"Folded anew, {names} is not what it was: nothing was switched."
        raise JobFailed("read_model_differs", message, {"read_models": list(built.different)})


def change_of(schema: str, source: Source, built: Built, *, from_live: bool) -> Change:
    """What comes into the place of the live store."""
    manifest = source.chain.newest
    every = [manifest] if from_live else [one.manifest for one in source.catalogue.manifests()]
    return Change(
        schema=schema,
        store_id=manifest.store_id,
        position=built.cut.position,
        size=built.tree.size,
        root=built.tree.root,
        issued=max(one.issued for one in every),
        epoch=max(one.epoch for one in every),
        archive_id=manifest.archive_id,
        manifest_sha256=source.file.sha256,
        undone=False,
        from_live=from_live,
    )


def switch_of(urls: tuple[str, str], signer: Signer, actor: str, built: Built) -> Switch:
    """The switch that begins the epoch."""
    beginning = Beginning(
        actor=actor, signer=signer, encode=CatalogueMapper().encode, tasks=built.tasks
    )
    return Switch(*urls, beginning)


def result_of(restored: Restoration) -> dict[str, Any]:
    """As JSON."""
    return {
        "from_epoch": restored.from_epoch,
        "to_epoch": restored.to_epoch,
        "position": restored.at_position,
        "events": restored.size,
    }
