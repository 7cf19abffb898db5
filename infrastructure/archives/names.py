"""Names of files in a repository, taken apart only when they are ours."""

from application.archives.expiry import EXPIRED
from application.archives.format import KEYS, MANIFESTS, SEGMENTS, is_name

FOLDERS = (SEGMENTS, MANIFESTS, KEYS, EXPIRED)


def is_ours(name: str) -> bool:
    """Whether a file of this name may be in a repository; what is put aside keeps its name."""
    folder, _, file = name.partition("/")
    return is_name(f"{MANIFESTS}/{file}" if folder == EXPIRED else name)


def parts(name: str) -> tuple[str, str]:
    """Folder and file; `LATEST` is in none. Raises ValueError when it is no name of ours."""
    if not is_ours(name):
        raise ValueError(f"{name[:100]!r} is no name of a file in a repository.")
    folder, _, file = name.rpartition("/")
    return folder, file


def checked_folder(folder: str) -> str:
    """Raises ValueError when it is no folder of ours."""
    if folder not in FOLDERS:
        raise ValueError(f"{folder[:100]!r} is no folder of a repository.")
    return folder
