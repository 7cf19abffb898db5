"""The sealer: takes the log into the tree, block by block. Only who leads runs it."""

import asyncio
import threading
from dataclasses import replace
from uuid import UUID

import structlog

from application.duties import cancelled
from application.seals.head import NOTHING_BEFORE, Head
from application.seals.ports import (
    NODE_HEIGHT_MIN,
    Block,
    HeadsDiffer,
    HeadsFile,
    Seal,
    SealedElsewhere,
    SealStore,
    Signer,
)
from application.watermarks import LOG, Watermarks
from domain.errors import DatabaseUnavailable
from domain.merkle import Tree

BLOCK_EVENTS = 1_000
BLOCK_SECONDS = 10.0
"""A block is closed with so many events, or so long after its first."""
ROUND_BLOCKS, ROUND_SECONDS = 10, 1.0
"""Where block follows on block, so many are sealed together, or as many as fill up in this time: a
query, a commit and a line on the disk for each are a good part of what sealing costs."""
LOG_WAIT_SECONDS = 5.0
AWAY_PAUSE_SECONDS = 0.2
HEADS_AT_ONCE = 1_000
SEALED = "sealed"
"""The watermark of the newest seal."""

log = structlog.get_logger("seals")


class Sealer:
    """Seals what is committed, in log order, and tells others of the heads.

    The database comes first and the file second, so the file is behind after a kill and never
    ahead; what it lacks is appended at the next start. Should it be ahead, or of another history,
    then the database lost or changed what was sealed: nothing more is sealed then.
    """

    def __init__(
        self,
        store: SealStore,
        heads_file: HeadsFile,
        signer: Signer,
        watermarks: Watermarks,
        *,
        log_id: UUID,
        epoch: int,
        block_events: int = BLOCK_EVENTS,
        block_seconds: float = BLOCK_SECONDS,
    ) -> None:
        self._store = store
        self._file = heads_file
        self._signer = signer
        self._watermarks = watermarks
        self._log_id = log_id
        self._epoch = epoch
        self._block_events = block_events
        self._block_seconds = block_seconds
        self._tree = Tree()
        self._last: Head | None = None
        # Whoever is cancelled leaves a thread behind that has not ended yet.
        self._working = threading.Lock()

    async def run(self) -> None:
        """Seal until cancelled, through outages of the database. Raises HeadsDiffer, OSError."""
        blocks_max = ROUND_BLOCKS
        while not cancelled():
            try:
                await asyncio.to_thread(self.begin)
                while True:
                    await self._wait()
                    if await asyncio.to_thread(self.seal, blocks_max=blocks_max) is None:
                        # The log is shorter than everybody was told: somebody cut it.
                        await asyncio.sleep(self._block_seconds)
                    blocks_max = ROUND_BLOCKS
            except SealedElsewhere:
                log.info("sealed_elsewhere")
            except DatabaseUnavailable:
                log.debug("no_database")
                # Ten blocks of the largest events take longer than a statement may.
                blocks_max = 1
                await asyncio.sleep(AWAY_PAUSE_SECONDS)

    def begin(self) -> None:
        """Take up where the seals stand, and bring the file up to them.

        Raises HeadsDiffer, OSError, DatabaseUnavailable.
        """
        with self._working:
            self._begin()

    def _begin(self) -> None:
        self._store.keep_key(self._signer.key_id, self._signer.public_key)
        self._last = self._store.last()
        self._tree = self._store.tree(self._last.size if self._last else 0)
        if self._last and self._tree.root != self._last.root:
            raise HeadsDiffer("The kept hashes do not make up the newest head: verify the log.")
        self._catch_up()
        self._told()

    def seal(self, *, blocks_max: int = 1) -> Head | None:
        """Close a block, or several, and answer the newest head; None where there is nothing to
        seal.

        Raises SealedElsewhere, OSError (it is sealed then, and the file behind),
        DatabaseUnavailable (it may be sealed, or not): `begin` finds out.
        """
        with self._working:
            return self._seal(blocks_max)

    def _seal(self, blocks_max: int) -> Head | None:
        last, tree = self._last, self._tree.copy()
        seals, nodes = [], {}
        for block in self._store.next_blocks(
            after=last.position if last else 0, events=self._block_events, blocks=blocks_max
        ):
            former_size = tree.size
            nodes.update(tree.extend(block.leaves, above=NODE_HEIGHT_MIN - 1))
            last = self._head(block, tree, last)
            seals.append(Seal(head=last, former_size=former_size, leaves=b"".join(block.leaves)))
        if not seals:
            return None
        self._store.keep(seals, nodes)
        self._last, self._tree = last, tree
        self._file.append([seal.head for seal in seals])
        self._told()
        return last

    def _head(self, block: Block, tree: Tree, former: Head | None) -> Head:
        head = Head(
            log=self._log_id,
            epoch=self._epoch,
            size=tree.size,
            position=block.position,
            root=tree.root,
            recorded_at=block.recorded_at,
            time=block.now,
            previous=former.digest if former else NOTHING_BEFORE,
            key_id=self._signer.key_id,
        )
        return replace(head, signature=self._signer.sign(head.text))

    async def _wait(self) -> None:
        """Until a block is full, or old enough. Raises DatabaseUnavailable."""
        position, watermarks = self._last.position if self._last else 0, self._watermarks
        # Whoever else follows the log here looks up what other nodes commit.
        while not await watermarks.reached(
            LOG, position + 1, timeout_seconds=LOG_WAIT_SECONDS, poll_seconds=LOG_WAIT_SECONDS
        ):
            pass
        for blocks, seconds in ((1, self._block_seconds), (ROUND_BLOCKS, ROUND_SECONDS)):
            full = position + blocks * self._block_events
            if not await watermarks.reached(
                LOG, full, timeout_seconds=seconds, poll_seconds=seconds
            ):
                return

    def _catch_up(self) -> None:
        kept = self._file.last(self._log_id)
        size = 0
        if kept is not None and kept.epoch >= self._epoch:
            self._compare(kept)
            size = kept.size
        elif kept is not None:
            # The file may end with heads that a restore took back: it goes on behind them.
            found = self._store.head(kept.size)
            same = found is not None and found.text == kept.text
            size = kept.size if same else self._store.size_before(self._epoch)
        while heads := self._store.heads(after=size, limit=HEADS_AT_ONCE):
            self._file.append(heads)
            size = heads[-1].size

    def _compare(self, kept: Head) -> None:
        found = self._store.head(kept.size)
        if found is None or found.text != kept.text:
            raise HeadsDiffer(
                f"The head of {kept.size} events in the file of heads is not that of the database, "
                "which lost or changed what was sealed: run `muster audit verify`."
            )

    def _told(self) -> None:
        if self._last is not None:
            self._watermarks.advance(SEALED, self._last.position)
