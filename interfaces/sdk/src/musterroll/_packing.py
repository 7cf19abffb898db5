"""Many encoded items into request bodies that the service takes: at most 1,000 items, and 1 MiB."""

from collections.abc import Iterable, Iterator

ITEMS_MAX = 1_000
# The service takes 1 MiB; the rest is room for the envelope.
BYTES_MAX = 1_000_000


def packs(items: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The items in order, in as few packs as fit. An item over the limit gets a pack of its own,
    for the service to refuse."""
    pack: list[bytes] = []
    size = 0
    for item in items:
        if pack and (len(pack) == ITEMS_MAX or size + len(item) + 1 > BYTES_MAX):
            yield pack
            pack, size = [], 0
        pack.append(item)
        size += len(item) + 1
    if pack:
        yield pack


def envelope(name: str, pack: Iterable[bytes]) -> bytes:
    """The body `{name: [items]}`."""
    return b'{"' + name.encode() + b'":[' + b",".join(pack) + b"]}"
