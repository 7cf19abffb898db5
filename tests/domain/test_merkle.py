"""The Merkle tree, against RFC 9162 written down again as plainly as it reads, and known roots.

The known values are those of the Certificate Transparency reference tests (the eight leaves and
roots that its implementations share).
"""

import hashlib
import random
from collections.abc import Sequence

import pytest

from domain.merkle import (
    EMPTY_ROOT,
    Node,
    Range,
    Stretch,
    Tree,
    consistency_ranges,
    consistent,
    fold_peaks,
    included,
    inclusion_ranges,
    leaf_hash,
    node_hash,
    peaks_of,
    root_of,
)

INPUTS = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(bytes([number % 256, number // 256])) for number in range(700)]


# The RFC, section 2.1, word for word. Nothing of the code under test is used here.


def mth(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    k = largest_power_below(len(leaves))
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = largest_power_below(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: Sequence[bytes], *, whole: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = largest_power_below(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole=whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], whole=False), mth(leaves[:k])]


def largest_power_below(count: int) -> int:
    k = 1
    while k * 2 < count:
        k *= 2
    return k


# Roots.


@pytest.mark.parametrize("count", range(1, 9))
def test_the_roots_are_those_that_everybody_knows(count: int) -> None:
    leaves = [leaf_hash(content) for content in INPUTS[:count]]

    assert root_of(leaves).hex() == ROOTS[count - 1]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert root_of([]) == EMPTY_ROOT == mth([])


@pytest.mark.parametrize("size", [*range(1, 40), 255, 256, 257, 511, 512, 513, 700])
def test_a_tree_that_grew_in_any_portions_has_the_root_of_the_rfc(
    size: int, rng: random.Random
) -> None:
    tree = Tree()
    nodes: dict[Node, bytes] = {}
    while tree.size < size:
        portion = rng.randint(0, size - tree.size)
        nodes.update(tree.extend(LEAVES[tree.size : tree.size + portion]))

    assert tree.root == mth(LEAVES[:size])
    assert nodes == {
        (height, index): mth(LEAVES[index << height : (index + 1) << height])
        for height in range(1, 11)
        for index in range(size >> height)
    }


# Proofs: what they consist of, and that they hold for the truth and for nothing else.


@pytest.mark.parametrize("size", [*range(1, 34), 257, 700])
def test_the_proof_of_any_leaf_is_that_of_the_rfc_and_holds(size: int, rng: random.Random) -> None:
    leaves = LEAVES[:size]
    root = mth(leaves)
    for index in range(size) if size < 40 else rng.sample(range(size), 20):
        proof = [mth(leaves[a:b]) for a, b in inclusion_ranges(index, size)]

        assert proof == path(index, leaves)
        assert included(leaves[index], index, size, proof, root)


@pytest.mark.parametrize("new", [*range(1, 34), 257, 700])
def test_the_proof_of_any_growth_is_that_of_the_rfc_and_holds(new: int, rng: random.Random) -> None:
    leaves = LEAVES[:new]
    for old in range(1, new + 1) if new < 40 else rng.sample(range(1, new), 20):
        proof = [mth(leaves[a:b]) for a, b in consistency_ranges(old, new)]

        assert proof == subproof(old, leaves, whole=True)
        assert consistent(old, new, proof, mth(leaves[:old]), mth(leaves))


def test_what_was_changed_in_a_proof_of_inclusion_is_refused(rng: random.Random) -> None:
    for _ in range(300):
        size = rng.randint(2, 700)
        index, root = rng.randrange(size), mth(LEAVES[:size])
        proof = path(index, LEAVES[:size])
        spoilt = rng.choice(proofs_like(proof, rng))
        other = rng.randrange(size)

        assert not included(LEAVES[index], index, size, spoilt, root)
        assert other == index or not included(LEAVES[other], index, size, proof, root)
        assert other == index or not included(LEAVES[index], other, size, proof, root)
        assert not included(LEAVES[index], index, size, proof, node_hash(root, root))
        assert not included(LEAVES[index], size, size, proof, root)
        assert not included(LEAVES[index], -1, size, proof, root)


def test_what_was_changed_in_a_proof_of_growth_is_refused(rng: random.Random) -> None:
    for _ in range(300):
        new = rng.randint(2, 700)
        old = rng.randint(1, new - 1)
        roots = mth(LEAVES[:old]), mth(LEAVES[:new])
        proof = subproof(old, LEAVES[:new], whole=True)

        assert not consistent(old, new, rng.choice(proofs_like(proof, rng)), *roots)
        assert not consistent(old, new, proof, roots[1], roots[1])
        assert not consistent(old, new, proof, roots[0], roots[0])
        assert not consistent(new, old, proof, *roots)
        assert not consistent(0, new, proof, *roots)
        assert not consistent(new, new, proof, *roots)


def proofs_like(proof: list[bytes], rng: random.Random) -> list[list[bytes]]:
    """One hash too few, one too many, one changed."""
    at = rng.randrange(len(proof))
    changed = bytearray(proof[at])
    changed[rng.randrange(32)] ^= 1 << rng.randrange(8)
    return [
        proof[:at] + proof[at + 1 :],
        [*proof[:at], proof[at], *proof[at:]],
        [*proof[:at], bytes(changed), *proof[at + 1 :]],
    ]


# Nodes that are kept are enough for every proof.


def test_every_range_of_a_proof_can_be_put_together_from_whole_nodes(rng: random.Random) -> None:
    for _ in range(200):
        size = rng.randint(1, 700)
        ranges: list[Range] = inclusion_ranges(rng.randrange(size), size)
        ranges += consistency_ranges(rng.randint(1, size), size)
        for start, end in [*ranges, (0, size)]:
            peaks = peaks_of((start, end))

            hashes = [mth(LEAVES[i << h : (i + 1) << h]) for h, i in peaks]
            assert fold_peaks(hashes) == mth(LEAVES[start:end])


# A tree that many hash, each a stretch of its leaves.


def test_stretches_that_were_hashed_apart_make_up_the_tree() -> None:
    rng = random.Random(9162)
    for _ in range(60):
        tree, at, size = Tree(), 0, rng.randrange(len(LEAVES))
        while at < size:
            end = min(size, at + rng.randrange(1, 90))
            stretch = Stretch(at, LEAVES[at:end])
            middle = rng.randrange(at, end + 1)

            tree.join(stretch.parts(at, middle))
            assert tree.root == root_of(LEAVES[:middle])
            tree.join(stretch.parts(middle, end))

            assert stretch.own_root == mth(LEAVES[at:end])
            at = end
        grown = Tree()
        grown.grow(LEAVES[:size])
        assert (tree.size, tree.peaks) == (grown.size, grown.peaks)


def test_what_stretches_complete_are_the_nodes_that_a_growing_tree_completes() -> None:
    rng = random.Random(6962)
    for above in range(4):
        for _ in range(30):
            tree, grown, at = Tree(), Tree(), 0
            while at < len(LEAVES):
                end = min(len(LEAVES), at + rng.randrange(1, 90))
                stretch = Stretch(at, LEAVES[at:end])
                middle = rng.randrange(at, end + 1)
                for start, stop in ((at, middle), (middle, end)):
                    joined = tree.join(stretch.parts(start, stop))

                    found = stretch.nodes(start, stop, above=above)
                    found |= {node: of for node, of in joined.items() if node[0] > above}
                    assert found == grown.extend(LEAVES[start:stop], above=above)
                at = end


def test_a_stretch_of_nothing_is_an_empty_tree() -> None:
    stretch = Stretch(5, [])

    assert stretch.own_root == EMPTY_ROOT
    assert stretch.parts(5, 5) == []


def test_a_node_stands_only_where_it_is_whole() -> None:
    tree = Tree()
    tree.grow(LEAVES[:1])

    with pytest.raises(AssertionError, match="no node of 1 stands at 1"):
        tree.join([(1, LEAVES[0])])
