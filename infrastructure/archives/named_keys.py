"""Which data key a segment was encrypted with, told from its first bytes."""

from application.archives.faults import BadArchive
from application.archives.format import HEADER_BYTES_MAX
from application.archives.ports import Repository
from infrastructure.archives.segment import MAGIC, SegmentHeader

HEAD_BYTES = 4 * 1024
"""Headers are mostly shorter; what is longer is asked for again."""
BEGIN = len(MAGIC) + 4


def named_key(repository: Repository, segment: str) -> str | None:
    """The id of its data key; None: it is not encrypted.

    Raises BadArchive where its header cannot be read, FileMissing, RepositoryUnavailable.
    """
    head = repository.beginning(segment, bytes_max=HEAD_BYTES)
    if len(head) < BEGIN or not head.startswith(MAGIC):
        raise BadArchive("bad_segment", "It is no segment", file=segment, byte=0)
    end = BEGIN + int.from_bytes(head[len(MAGIC) : BEGIN], "big")
    if end > BEGIN + HEADER_BYTES_MAX:
        message = f"Its header has {end - BEGIN} bytes"
        raise BadArchive("bad_header", message, file=segment, byte=len(MAGIC))
    if end > len(head):
        head = repository.beginning(segment, bytes_max=end)
    try:
        return SegmentHeader.parse(head[BEGIN:end]).key_id
    except ValueError as error:
        message = f"That is no header: {error}"
        raise BadArchive("bad_header", message, file=segment, byte=BEGIN) from error
