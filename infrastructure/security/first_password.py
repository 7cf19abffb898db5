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


def replace_first_password(data_dir: Path, password: str) -> None:
    """Keep another in the file: at any moment one of the two is there, whole. Raises OSError."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = data_dir / FILE_NAME
    new = path.with_name(f"{FILE_NAME}.new")
    # One that was left by a crash may be of another mode.
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(password + "\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def forget_first_password(data_dir: Path) -> None:
    """Remove the file, which holds what nobody signs in with any more. Raises OSError."""
    (data_dir / FILE_NAME).unlink(missing_ok=True)
