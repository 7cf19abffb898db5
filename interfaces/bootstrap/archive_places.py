"""Where archives are kept, for who only wants to know."""

from pathlib import Path

from infrastructure.archives.stores import place_of
from infrastructure.settings import Settings


def archive_folder(settings: Settings) -> Path | None:
    """The folder that they are in; None where it is a bucket. Raises BadRepositoryUrl."""
    place = place_of(settings)
    return place if isinstance(place, Path) else None
