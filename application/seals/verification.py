"""Verifies the whole log against its seals: recomputes everything and believes nothing stored."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from application.seals.finding import Fault, Tampered, fault_in_block, where
from application.seals.head import NOTHING_BEFORE, Head, key_id_of
from application.seals.lineage import FIRST_EPOCH, Lineage
from application.seals.ports import NODE_HEIGHT_MIN, Evidence, Seal, SignatureCheck
from domain.merkle import HASH_BYTES, Node, Tree

PORTION_SEALS, PORTION_EVENTS = 500, 50_000
"""Read at once: at most so many blocks, and no more once they hold so many events."""

Progress = Callable[[int, int], None]
"""Told how many events were verified, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of it. `fault` is the first that was found, in log order; None: all is well.

    `unsealed` events stand behind the last seal that was looked at; that is no fault. `compared` is
    how many heads that were kept elsewhere are of this history, `restored_over` how many are of
    what a restore took back.
    """

    log: UUID
    sealed: int
    unsealed: int
    seals: int
    compared: int
    restored_over: int
    last: Head | None
    fault: Fault | None


class Verification:
    """One run. `kept` are heads that were kept outside of the database: those are believed.

    Without them nobody can tell a log whose end was cut off, seals and all, or that was written
    anew as a whole, from a true one.
    """

    def __init__(
        self,
        evidence: Evidence,
        signed: SignatureCheck,
        kept: Sequence[Head] = (),
        *,
        progress: Progress = lambda _done, _of: None,
    ) -> None:
        self._evidence = evidence
        self._signed = signed
        self._progress = progress
        self._kept: defaultdict[int, list[Head]] = defaultdict(list)
        # What is sealed from now on is left for the next time; so is a key that is new by then.
        self._size = evidence.size()
        self._log = evidence.log_id()
        self._strangers = [head for head in kept if head.log != self._log]
        for head in kept:
            if head.log == self._log:
                self._kept[head.size].append(head)
        self._sizes = sorted(self._kept)
        self._keys = dict(evidence.keys())
        self._tree = Tree()
        self._last: Head | None = None
        self._vouched = 0
        self._epoch = FIRST_EPOCH
        self._sealed_anew: Tampered | None = None
        self._seals = self._compared = self._unsealed = self._restored_over = 0

    def run(self) -> Verdict:
        """Raises DatabaseUnavailable."""
        fault = None
        try:
            self._look_at_keys()
            self._look_at_kept_heads()
            self._leave_out_restored_over()
            while self._tree.size < self._size:
                self._look_at_portion()
                self._progress(self._tree.size, self._size)
            self._look_at_tail()
        except Tampered as found:
            fault = found.fault
        return Verdict(
            log=self._log,
            sealed=self._last.size if self._last else 0,
            unsealed=self._unsealed,
            seals=self._seals,
            compared=self._compared,
            restored_over=self._restored_over,
            last=self._last,
            fault=fault,
        )

    def _look_at_keys(self) -> None:
        for key_id, public_key in self._keys.items():
            # A key is named by its digest, so no other can stand in for it.
            if key_id_of(public_key) != key_id:
                raise _tampered("key_changed", f"The public key {key_id[:16]} was changed.")

    def _look_at_kept_heads(self) -> None:
        """A file may hold heads of other logs too, but not of others alone."""
        if self._strangers and not self._kept:
            log = self._strangers[0].log
            raise _tampered("other_log", f"The kept heads are of another log, {log}.")
        for head in (head for heads in self._kept.values() for head in heads):
            key = self._keys.get(head.key_id)
            if key is not None and not self._signed(key, head.text, head.signature):
                message = f"The kept head of {head.size} events is not as it was signed."
                raise _tampered("kept_head_changed", message)

    def _leave_out_restored_over(self) -> None:
        """A restore that a key signed which signed kept heads too, is believed like those."""
        heads = [head for heads in self._kept.values() for head in heads]
        if not heads:
            return
        lineage = Lineage.of(
            self._evidence.restorations(),
            log=self._log,
            keys=self._keys,
            believed={head.key_id for head in heads},
            signed=self._signed,
        )
        self._kept.clear()
        self._epoch = lineage.epoch
        for head in heads:
            if lineage.restored_over(head):
                self._restored_over += 1
            else:
                self._kept[head.size].append(head)
        self._sizes = sorted(self._kept)

    def _look_at_portion(self) -> None:
        """A stretch of blocks, by one COPY."""
        begin, after = self._tree.size, self._position
        seals = _portion(self._evidence.seals(after=begin, limit=PORTION_SEALS))
        if not seals:
            raise self._seal_fault("seal_missing", f"The seals behind {begin} events are missing.")
        until = max(seal.head.position for seal in seals)
        leaves = self._evidence.leaves(after=after or None, until=until)
        kept = self._evidence.nodes(after=begin, until=seals[-1].head.size)
        nodes: dict[Node, bytes] = {}
        for seal in seals:
            self._look_at_head(seal)
            block = leaves[seal.former_size - begin : seal.head.size - begin]
            nodes.update(self._look_at_block(seal, block))
            self._seals, self._last = self._seals + 1, seal.head
        if nodes != kept:
            wrong = min(n for n in {*nodes, *kept} if nodes.get(n) != kept.get(n))
            message = f"A kept hash of the tree was changed, of height {wrong[0]}"
            raise Tampered(Fault(code="nodes_changed", message=f"{message}."))

    def _look_at_head(self, seal: Seal) -> None:
        head, key = seal.head, self._keys.get(seal.head.key_id)
        if seal.former_size != self._tree.size or head.size <= seal.former_size:
            message = f"A seal behind {self._tree.size} events is missing"
            raise self._seal_fault("seal_missing", message)
        if key is None or not self._signed(key, head.text, head.signature):
            message = f"The seal of {head.size} events is not what was signed"
            raise self._seal_fault("seal_changed", message, head)
        follows = head.previous == (self._last.digest if self._last else NOTHING_BEFORE)
        if not follows or head.log != self._log or head.position <= self._position:
            message = f"The seal of {head.size} events does not follow on the one before"
            raise self._seal_fault("seal_changed", message, head)

    def _look_at_block(self, seal: Seal, block: Sequence[bytes]) -> dict[Node, bytes]:
        """The nodes that it completes."""
        head, before = seal.head, self._tree.copy()
        found = self._tree.extend(block, above=NODE_HEIGHT_MIN - 1)
        if self._tree.root != head.root or self._tree.size != head.size:
            raise Tampered(self._fault_in(seal, before))
        for size in self._kept_sizes(before.size, head.size - 1):
            before.grow(block[before.size - seal.former_size : size - seal.former_size])
            self._compare(before, None)
        self._compare(self._tree, head)
        if b"".join(block) != seal.leaves:
            message = f"The kept hashes of the block of {head.size} events were changed"
            raise self._seal_fault("leaves_changed", message, head)
        return found

    def _fault_in(self, seal: Seal, tree: Tree) -> Fault:
        """Which event it is; the kept hashes tell, if they are those that were sealed."""
        leaves: list[bytes] | None = [
            seal.leaves[at : at + HASH_BYTES] for at in range(0, len(seal.leaves), HASH_BYTES)
        ]
        tree.grow(leaves or ())
        if tree.root != seal.head.root:
            leaves = None
        rows = list(
            self._evidence.positions(after=self._position or None, until=seal.head.position)
        )
        return fault_in_block(rows, leaves, after=self._position, until=seal.head.position)

    def _compare(self, tree: Tree, sealed: Head | None) -> None:
        """What stands there with the heads of that size that were kept."""
        for kept in self._kept.pop(tree.size, ()):
            if kept.root != tree.root:
                message = "The log was written anew: it is not that of a head that was kept"
                raise self._seal_fault("log_rewritten", message, kept, after=self._vouched)
            # Of an epoch that has ended, a restore brings the seals that were in the archive: this
            # one may have been made after it. That the log is the same is what its root says.
            ended = kept.epoch < self._epoch
            if not ended and (sealed is None or sealed.text != kept.text):
                message = f"A head of {kept.size} events was kept that is not among the seals"
                fault = self._seal_fault("seal_missing", message, kept, after=self._vouched)
                self._sealed_anew = self._sealed_anew or fault
            self._compared += 1
            self._vouched = kept.position

    def _kept_sizes(self, above: int, until: int) -> list[int]:
        sizes = self._sizes
        return sizes[bisect_right(sizes, above) : bisect_right(sizes, until)]

    def _look_at_tail(self) -> None:
        """What is not sealed yet, which kept heads may know of."""
        after, end = self._position, self._evidence.last_position()
        while after < end:
            until = min(after + PORTION_EVENTS, end)
            leaves = self._evidence.leaves(after=after or None, until=until)
            self._unsealed += len(leaves)
            begin = self._tree.size
            for size in self._kept_sizes(begin, begin + len(leaves)):
                self._tree.grow(leaves[self._tree.size - begin : size - begin])
                self._compare(self._tree, None)
            self._tree.grow(leaves[self._tree.size - begin :])
            after = until
        for size in sorted(self._kept):
            kept = self._kept[size][0]
            message = f"The log ends with {self._tree.size} events, and a head of {size} was kept"
            raise self._seal_fault("log_cut", message, kept, after=end)
        if self._sealed_anew:
            # Told last: where the events themselves are others, that is what counts.
            raise self._sealed_anew

    @property
    def _position(self) -> int:
        return self._last.position if self._last else 0

    def _seal_fault(
        self, code: str, message: str, head: Head | None = None, *, after: int | None = None
    ) -> Tampered:
        """What is known no closer than by a block."""
        first = (self._position if after is None else after) + 1
        last = max(head.position, first) if head else first
        return _tampered(code, f"{message}: {where(first, last)}.", first, last)


def _tampered(
    code: str, message: str, first: int | None = None, last: int | None = None
) -> Tampered:
    return Tampered(Fault(code=code, message=message, first=first, last=last))


def _portion(seals: Sequence[Seal]) -> Sequence[Seal]:
    """As many as hold the events that are read at once, and at least one."""
    events = 0
    for count, seal in enumerate(seals, start=1):
        events += len(seal.leaves) // HASH_BYTES
        if events >= PORTION_EVENTS:
            return seals[:count]
    return seals
