"""Backups where they are kept, read without any service: by the machine that wants them back."""

from collections.abc import Callable, Iterator
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from interfaces.cli.backup_jobs import LATEST, NoBackup, NotAtLevel, id_of
from interfaces.cli.backup_places import id_given, place_at, telling_what_is_there
from interfaces.cli.backup_words import Row, number, size, stage_in_words
from interfaces.cli.failures import FAILED
from interfaces.cli.output import ago, hint, print_json, print_line, print_table
from interfaces.cli.up import settings_of
from interfaces.cli.waiting import measuring, working

if TYPE_CHECKING:
    from application.archives.chain import ManifestFile
    from interfaces.bootstrap.archives_offline import OfflineFinding
    from interfaces.bootstrap.kept_stores import KeptStore

COLUMNS: dict[str, Callable[[Row], object]] = {
    "BACKUP": itemgetter("id"),
    "STATUS": itemgetter("status"),
    "TYPE": itemgetter("type"),
    "TAKEN": lambda row: ago(row["taken_at"]),
    "POSITION": lambda row: number(row["position"]),
    "EVENTS": lambda row: number(row["events"]),
    "NEW": lambda row: number(row["new_events"]),
}
STORE: dict[str, Callable[[Row], object]] = {"STORE": itemgetter("store_id")}
"""Shown where there are several."""
UNVOUCHED = "No key of this machine vouches for who signed it: there is no seal-key.pem here."


def list_store(url: str, *, limit: int, as_json: bool) -> None:
    """What lies there, newest first; what cannot be read is listed too, with what is wrong."""
    from interfaces.bootstrap.archives_offline import stores_at  # noqa: PLC0415 - heavy

    place = place_at("--store", url)
    with working("Reading"), telling_what_is_there(url):
        stores = stores_at(settings_of({}), place)
        rows = [row for store in stores for row in islice(_rows_of(store), limit)]
    if as_json:
        for row in rows:
            print_json(row)
        return
    columns = COLUMNS | (STORE if len(stores) > 1 else {})
    cells = ([show(row) for show in columns.values()] for row in rows)
    print_table(list(columns), cells, empty=f"There are no backups in {url}.")
    for row in rows:
        if row["error"]:
            print_line(row["error"]["message"])
    if rows and not all(store.trusted for store in stores):
        hint(UNVOUCHED)


def verify_in_store(
    url: str, backup_id: str, *, store_id: str | None, level: int, as_json: bool
) -> None:
    """Read one back there. Raises Failure."""
    from application.archives.faults import BadArchive  # noqa: PLC0415 - the service's parts
    from interfaces.bootstrap.archives_offline import verify_offline  # noqa: PLC0415

    wanted = None if backup_id == LATEST else id_of(backup_id)
    of_store, place = id_given("--store-id", store_id), place_at("--store", url)
    settings = settings_of({})
    with telling_what_is_there(url), measuring() as tell:

        def told(stage: str, done: int, total: int) -> None:
            tell(stage_in_words(stage), done / total if total else 0.0)

        try:
            found = verify_offline(settings, place, wanted, level, told, store_id=of_store)
        except BadArchive as error:
            if error.fault == "manifest_missing":
                raise NoBackup(f"there is no such backup in {url}.") from None
            if not as_json:
                raise
            print_json({"ok": False, "code": error.code, "message": error.message, **error.facts})
            raise SystemExit(FAILED) from None
    _show(found, level, as_json=as_json)


def _show(found: "OfflineFinding", level: int, *, as_json: bool) -> None:
    verified, manifest = found.verified, found.file.manifest
    if as_json:
        print_json(
            {
                "ok": not verified.reason,
                "id": str(manifest.archive_id),
                "store_id": str(found.store.store_id),
                "vouched": found.store.trusted,
                "level": verified.level,
                "events": verified.events,
                "files": verified.files,
                "bytes": verified.size,
                "root": verified.root.hex(),
                "reason": verified.reason,
            }
        )
        if verified.reason:
            raise SystemExit(FAILED)
        return
    print_line(
        f"{manifest.archive_id} is as it was signed: {number(verified.events)} events up to "
        f"position {number(manifest.last)}, {number(verified.files)} files of "
        f"{size(verified.size)}, at level {verified.level}."
    )
    if not found.store.trusted:
        hint(UNVOUCHED)
    if verified.reason:
        raise NotAtLevel(level, verified.reason)


def _rows_of(store: "KeptStore") -> Iterator[Row]:
    """By the names that the API has for the same, newest first."""
    found = store.catalogue.manifests()
    for name, fault in store.catalogue.broken.items():
        error = {"code": fault.fault, "message": fault.message}
        yield {**dict.fromkeys(_MEMBERS), "id": name, "status": "broken", "error": error}
    for file in reversed(found):
        yield _row_of(file, store)


_MEMBERS = ("store_id", "type", "taken_at", "position", "events", "new_events", "epoch")


def _row_of(file: "ManifestFile", store: "KeptStore") -> dict[str, Any]:
    manifest = file.manifest
    return {
        "id": str(manifest.archive_id),
        "status": "signed",
        "store_id": str(store.store_id),
        "type": manifest.type,
        "taken_at": manifest.taken_at.isoformat(),
        "position": manifest.last,
        "events": manifest.size,
        "new_events": manifest.size - manifest.base,
        "epoch": manifest.epoch,
        "error": None,
    }
