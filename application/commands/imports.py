"""What can be asked of histories that were written elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from application.commands import Command
from application.control_plane import Work
from application.imports.folding import copied
from application.ports import Entry
from domain.aggregate import Aggregate
from domain.errors import ConcurrentChange
from domain.task import Task
from domain.task_shape import LEASED


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportHistory(Command):
    """Record events that were found to follow on what is here: `aggregates` are as these leave
    them, `former_versions` where they stood before."""

    entries: Sequence[Entry]
    aggregates: Mapping[UUID, Aggregate]
    former_versions: Mapping[UUID, int]

    @property
    def needs(self) -> tuple[UUID, ...]:
        """The aggregates."""
        return tuple(self.aggregates)


@dataclass(frozen=True, slots=True)
class Imported:
    """What the receipt of an import is of: the import itself; its version is how many events it
    took in."""

    id: UUID
    version: int


class ImportCommands:
    """Compare, record. What takes long was done before, elsewhere."""

    def take(self, command: ImportHistory, work: Work) -> Imported:
        """All of it, and a task that somebody held elsewhere is given back. Raises ConcurrentChange
        when others recorded something of these aggregates meanwhile."""
        for aggregate_id, aggregate in command.aggregates.items():
            found = work.find(type(aggregate), aggregate_id)
            if (found.version if found else 0) != command.former_versions[aggregate_id]:
                raise ConcurrentChange(f"{aggregate_id} was changed meanwhile.")
        # Decided a second time, it begins with the same again.
        twins = [copied(aggregate) for aggregate in command.aggregates.values()]
        work.take_in(twins, command.entries)
        for twin in twins:
            if isinstance(twin, Task) and twin.status in LEASED and twin.agent_id is not None:
                twin.release(twin.agent_id, twin.attempt, now=work.now)
        return Imported(command.origin.command_id, len(command.entries))
