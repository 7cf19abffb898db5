"""Verifies one archive in a process of its own, and tells what it found and how much memory that
took: `python -m tests.faults.archive_reader FOLDER STORE_ID ARCHIVE_ID KEY_ID LEVEL`."""

import json
import sys
from pathlib import Path
from uuid import UUID

from application.archives.chain import Catalogue
from application.archives.faults import BadArchive
from infrastructure.archives.encryption import DataKeys
from infrastructure.archives.folder import FolderRepository
from infrastructure.archives.verifying import verify_archive
from infrastructure.seals.signer import signed


def main() -> None:
    folder, store, archive, key_id, level = sys.argv[1:]
    repository = FolderRepository(Path(folder), UUID(store))
    keys = DataKeys(repository, None)
    fault = None
    try:
        catalogue = Catalogue(repository, UUID(store), signed, {key_id})
        file = catalogue.one(UUID(archive))
        verify_archive(repository, catalogue, file, int(level), keys, lambda *_: None)
    except BadArchive as error:
        fault = error.fault
    print(json.dumps({"fault": fault, "mebibytes": mebibytes()}))


def mebibytes() -> float:
    """At most, so far. `getrusage` would count what the parent had before it became this."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main()
