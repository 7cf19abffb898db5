"""`service.json`: how programs of the same user find a service that runs on this machine."""

import os
import tempfile
from pathlib import Path
from typing import Any

import orjson

from interfaces.http.ports import ServerSettings

SERVICE_FILE = "service.json"
PASSWORD_FILE = "admin-password"  # noqa: S105 - the name of a file


def keep_service_file(settings: ServerSettings, url: str) -> None:
    """Write it, whole or not at all, for the owner only. Raises OSError."""
    made_here = (settings.data_dir / PASSWORD_FILE).exists()
    service = {
        "url": url,
        "username": "admin",
        "password_file": PASSWORD_FILE if made_here else None,
        "pid": os.getpid(),
    }
    folder = settings.data_dir
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=SERVICE_FILE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(orjson.dumps(service) + b"\n")
    Path(temporary).replace(folder / SERVICE_FILE)


def remove_service_file(folder: Path) -> None:
    """Remove it, unless it is another process's by now, or was never written."""
    path = folder / SERVICE_FILE
    if _read(path).get("pid") == os.getpid():
        path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        service: dict[str, Any] = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return service
