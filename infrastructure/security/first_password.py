"""The first administrator's password, where nobody chose one: made, and kept in a file."""

import os
from collections.abc import Callable
from pathlib import Path

FILE_NAME = "admin-password"


def keep_first_password(data_dir: Path, make: Callable[[], str]) -> str:
    """The password in the file, made and written when there is none. Raises OSError.

    It is in the file before the account is made, so that no crash in between loses it; of two
    processes the one that comes second reads what the first one wrote.
    """
    path = data_dir / FILE_NAME
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="utf-8").strip()
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(make() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return path.read_text(encoding="utf-8").strip()
