"""Rows that are no events: requests that can be repeated, and tables as they stood."""

from application.archives.faults import BadArchive
from application.archives.manifest import FileEntry
from infrastructure.archives.head_rows import values_in
from infrastructure.archives.segment import Segment

_WIDTHS = (16, None, 8, None, 8)
"""Of the columns of a request, in bytes: all of them have a value."""


def look_at_requests(entry: FileEntry, segment: Segment) -> None:
    """That they can be repeated, and stand by their bases. Raises BadArchive."""
    bases = []
    for row in segment.rows:
        values = values_in(row, len(_WIDTHS), entry.name)
        for value, width in zip(values, _WIDTHS, strict=True):
            if value is None or width not in (None, len(value)):
                raise BadArchive("bad_row", "That is no request", file=entry.name)
        bases.append(int.from_bytes(values[2] or b"", "big", signed=True))
    if bases != sorted(bases) or (bases[0], bases[-1]) != (entry.first, entry.last):
        message = "Its requests stand in the wrong place"
        raise BadArchive("positions_disordered", message, file=entry.name)


def look_at_table(entry: FileEntry, segment: Segment) -> None:
    """That each row has the columns that the header names. Raises BadArchive."""
    for row in segment.rows:
        values_in(row, len(segment.header.columns), entry.name)
