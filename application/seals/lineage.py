"""Which epochs a log went through, as its own signed restorations tell."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from application.seals.head import Head
from application.seals.ports import Restoring, SignatureCheck

FIRST_EPOCH = 1


@dataclass(frozen=True, slots=True)
class Lineage:
    """`begins` holds, for each epoch that this log went through, how many events stood before it;
    oldest first. An epoch that ended and is not among them was restored over as a whole."""

    begins: tuple[tuple[int, int], ...]

    @classmethod
    def of(
        cls,
        restorations: Iterable[Restoring],
        *,
        log: UUID,
        keys: Mapping[str, bytes],
        believed: Collection[str],
        signed: SignatureCheck,
    ) -> "Lineage":
        """From the restorations in a log. One counts only where it stands where it says, and where
        its signature holds, by a key that is `believed`: whoever can write to the database can
        write restorations too."""
        begins = [(FIRST_EPOCH, 0)]
        for one in restorations:
            told, key = one.restored, keys.get(one.restored.key_id)
            sound = told.log == log and told.size == one.size and told.to_epoch > begins[-1][0]
            by_whom = key is not None and told.key_id in believed
            if sound and by_whom and key is not None and signed(key, told.text, one.signature):
                begins.append((told.to_epoch, told.size))
        return cls(tuple(begins))

    @property
    def epoch(self) -> int:
        """The present one."""
        return self.begins[-1][0]

    def restored_over(self, head: Head) -> bool:
        """Whether the head is of a part of the log that a restore took back: then it need not be in
        this log. Every other head has to be."""
        if head.epoch >= self.epoch:
            return False
        for (epoch, begin), following in zip(self.begins, self.begins[1:], strict=False):
            if epoch == head.epoch:
                return not begin < head.size <= following[1]
        return True
