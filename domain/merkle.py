"""The Merkle tree over the log: hashes and proofs as RFC 9162, section 2.1, has them.

A tree is known by its size, a node by its height and index: the node (h, i) stands over the leaves
from i * 2**h on, 2**h of them. Only nodes whose leaves are all there ever get a hash, so what was
computed once never changes.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

HASH_BYTES = 32
LEAF, NODE = b"\x00", b"\x01"
"""What comes before the bytes that are hashed, so that no leaf can be taken for a node."""
HEIGHT_MAX = 63
EMPTY_ROOT = hashlib.sha256(b"").digest()

Range = tuple[int, int]
"""Leaves from one index up to and without another."""
Node = tuple[int, int]
"""Height and index."""
Part = tuple[int, bytes]
"""A whole node by its height, and its hash: what stands in a tree, part by part from the left."""


def leaf_hash(content: bytes) -> bytes:
    """Of one leaf."""
    return hashlib.sha256(LEAF + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Of two nodes side by side."""
    return hashlib.sha256(NODE + left + right).digest()


@dataclass(slots=True)
class Tree:
    """A tree that grows at its end, of which only the peaks are kept: one hash for each bit of its
    size that is set, at the height of that bit."""

    size: int = 0
    peaks: dict[int, bytes] = field(default_factory=dict)

    def extend(self, leaves: Sequence[bytes], *, above: int = 0) -> dict[Node, bytes]:
        """Add leaves. The nodes that they complete, of those that are higher than `above`.

        Level by level, since a hash of two others takes half a microsecond and a call about as
        much.
        """
        completed: dict[Node, bytes] = {}
        sha256, level, height = hashlib.sha256, list(leaves), 0
        self.size += len(level)
        while level:
            peak = self.peaks.pop(height, None)
            if peak is not None:
                level.insert(0, peak)
            if len(level) % 2:
                self.peaks[height] = level.pop()
            pairs = iter(level)
            level = [
                sha256(NODE + left + right).digest()
                for left, right in zip(pairs, pairs, strict=True)
            ]
            height += 1
            if height > above:
                first = (self.size >> height) - len(level)
                completed.update(((height, index), node) for index, node in enumerate(level, first))
        return completed

    def grow(self, leaves: Sequence[bytes]) -> None:
        """Add leaves, and keep no node."""
        self.extend(leaves, above=HEIGHT_MAX)

    def join(self, parts: Iterable[Part]) -> dict[Node, bytes]:
        """Add leaves that were hashed elsewhere, by the whole nodes over them, from the left. The
        nodes that parts complete together with what stands before them."""
        completed: dict[Node, bytes] = {}
        for part_height, part in parts:
            height, node = part_height, part
            assert self.size % (1 << height) == 0, f"no node of {height} stands at {self.size}"
            self.size += 1 << part_height
            while (peak := self.peaks.pop(height, None)) is not None:
                node = node_hash(peak, node)
                height += 1
                completed[height, (self.size >> height) - 1] = node
            self.peaks[height] = node
        return completed

    @property
    def root(self) -> bytes:
        """Of the tree as it is."""
        return fold_peaks(self.peaks[height] for height in sorted(self.peaks, reverse=True))

    def copy(self) -> "Tree":
        """One that grows by itself."""
        return Tree(self.size, dict(self.peaks))


class Stretch:
    """Leaves that stand somewhere in a tree, from an index on, hashed as far as they go without
    what stands before them: so that many can hash one tree."""

    def __init__(self, start: int, leaves: Sequence[bytes]) -> None:
        self.start = start
        self.end = start + len(leaves)
        self._levels: list[tuple[int, list[bytes]]] = []
        first, level = start, list(leaves)
        while level:
            self._levels.append((first, level))
            first, level = _level_above(first, level)

    def parts(self, start: int, end: int) -> list[Part]:
        """The highest whole nodes over some of the leaves, from the left."""
        assert self.start <= start <= end <= self.end, f"{start} to {end} are not in it"
        found = []
        while start < end:
            height = (end - start).bit_length() - 1
            if start:
                height = min(height, (start & -start).bit_length() - 1)
            first, level = self._levels[height]
            found.append((height, level[(start >> height) - first]))
            start += 1 << height
        return found

    def nodes(self, start: int, end: int, *, above: int) -> dict[Node, bytes]:
        """The whole nodes over leaves of it alone that one of these completes, of those that are
        higher than `above`."""
        found = {}
        for height, (first, level) in enumerate(self._levels):
            if height > above:
                for index in range(max(first, start >> height), end >> height):
                    found[height, index] = level[index - first]
        return found

    @property
    def own_root(self) -> bytes:
        """Of a tree of these leaves alone."""
        rising: list[bytes] = []
        for first, level in self._levels:
            if first % 2:
                # Up to here the nodes of both trees are the same ones.
                rest = Tree()
                rest.grow(level)
                rising += [rest.peaks[height] for height in sorted(rest.peaks)]
                break
            if len(level) % 2:
                rising.append(level[-1])
        return fold_peaks(reversed(rising))


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Of a tree with these leaf hashes."""
    tree = Tree()
    tree.grow(leaves)
    return tree.root


def fold_peaks(peaks: Iterable[bytes]) -> bytes:
    """The root over peaks, highest first."""
    descending = list(peaks)
    if not descending:
        return EMPTY_ROOT
    root = descending.pop()
    while descending:
        root = node_hash(descending.pop(), root)
    return root


def peaks_of(leaves: Range) -> list[Node]:
    """The highest whole nodes over a range that begins where a tree of its size could, highest
    first; their hashes, folded, are its root."""
    start, end = leaves
    peaks = []
    while start < end:
        height = (end - start).bit_length() - 1
        assert start % (1 << height) == 0, f"no tree begins at {start} with {end - start} leaves"
        peaks.append((height, start >> height))
        start += 1 << height
    return peaks


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """What the proof of a leaf holds the roots of, in its order (RFC 9162, 2.1.3.1)."""
    assert 0 <= index < size, f"a tree of {size} has no leaf {index}"
    ranges, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old: int, new: int) -> list[Range]:
    """What the proof that a tree grew out of another holds the roots of (RFC 9162, 2.1.4.1)."""
    assert 0 < old <= new, f"a tree of {new} did not grow out of one of {old}"
    ranges, start, end, whole = [], 0, new, True
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start, whole = middle, False
    if not whole:
        ranges.append((start, end))
    return ranges[::-1]


def included(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the leaf stands at the index of the tree with this root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, leaf
    for beside in path:
        if last == 0:
            return False
        if at % 2 or at == last:
            found = node_hash(beside, found)
            while at and not at % 2:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, beside)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def consistent(old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Whether the tree of the new root begins with that of the old (RFC 9162, 2.1.4.2)."""
    if old == new:
        return not path and old_root == new_root
    if not 0 < old < new or not path:
        return False
    hashes = list(path) if old & (old - 1) else [old_root, *path]
    at, last = old - 1, new - 1
    while at % 2:
        at, last = at >> 1, last >> 1
    former = latter = hashes[0]
    for beside in hashes[1:]:
        if last == 0:
            return False
        if at % 2 or at == last:
            former, latter = node_hash(beside, former), node_hash(beside, latter)
            while at and not at % 2:
                at, last = at >> 1, last >> 1
        else:
            latter = node_hash(latter, beside)
        at, last = at >> 1, last >> 1
    return last == 0 and former == old_root and latter == new_root


def _level_above(first: int, level: Sequence[bytes]) -> tuple[int, list[bytes]]:
    """The whole nodes over a level that begins with this index, and the index of the first."""
    skipped, sha256 = first % 2, hashlib.sha256
    pairs = iter(level[skipped : len(level) - (len(level) - skipped) % 2])
    above = [sha256(NODE + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
    return (first + skipped) >> 1, above


def _split(size: int) -> int:
    """The largest power of two below the size."""
    return 1 << ((size - 1).bit_length() - 1)
