"""Why an import is refused. Nothing of it was recorded then."""

from collections.abc import Collection
from uuid import UUID

from domain.errors import Conflict, Invalid, Unavailable

SHOWN_MAX = 20


class BadEvent(Invalid):
    """A line is no event as an export writes it, or one that cannot have happened. `line` counts
    from 1."""

    code = "bad_event"

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"Line {line}: {why}.", line=line)


class NotImportable(Invalid):
    """Only events of tasks and agents can be taken in: what an installation says of itself (its
    audit trail, its subjects, its archives) stays its own."""

    code = "not_importable"

    def __init__(self, line: int, topic: str) -> None:
        super().__init__(
            f"Line {line}: {topic[:100]!r} is no event of a task or an agent.", line=line
        )


class UntrustedKey(Invalid):
    """The export was signed by nobody whose word counts here."""

    code = "untrusted_key"

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"It was signed with the key {key_id}, which is not trusted; `trusted` names others.",
            key_id=key_id,
        )


class ImportTooLarge(Invalid):
    """More than one append takes, and so more than can be taken in whole or not at all."""

    code = "import_too_large"

    def __init__(self, found: str, at_most: str) -> None:
        super().__init__(f"The export holds {found}; an import takes at most {at_most}.")


class HistoryDiffers(Conflict):
    """The log has another event of that aggregate and version: its history went on here as well,
    or never was the same."""

    code = "history_differs"

    def __init__(self, line: int, aggregate_id: UUID, version: int) -> None:
        super().__init__(
            f"Line {line}: version {version} of {aggregate_id} is another one here.",
            line=line,
            aggregate_id=str(aggregate_id),
            version=version,
        )


class HistoryIncomplete(Conflict):
    """Events of an aggregate are missing between what is here, or nothing, and what the export
    has."""

    code = "history_incomplete"

    def __init__(self, line: int, aggregate_id: UUID, *, wanted: int) -> None:
        super().__init__(
            f"Line {line}: version {wanted} of {aggregate_id} has to come first.",
            line=line,
            aggregate_id=str(aggregate_id),
            version=wanted,
        )


class IdTaken(Conflict):
    """Something else has this id here."""

    code = "id_taken"

    def __init__(self, aggregate_id: UUID) -> None:
        super().__init__(
            f"There is something else under the id {aggregate_id}.", aggregate_id=str(aggregate_id)
        )


class AgentIdDiffers(Conflict):
    """An agent's id follows from tenant and name, and this one's would be another here: its name
    would stand for two."""

    code = "agent_id_differs"

    def __init__(self, line: int, name: str, *, wanted: UUID) -> None:
        super().__init__(
            f"Line {line}: in this tenant the agent {name!r} is {wanted}; an agent moves between "
            "tenants of one name only.",
            line=line,
            agent_id=str(wanted),
        )


class AgentsMissing(Conflict):
    """Tasks were given to agents that are not known here. `agents` are their ids."""

    code = "agents_missing"

    def __init__(self, agent_ids: Collection[UUID]) -> None:
        shown = sorted(map(str, agent_ids))[:SHOWN_MAX]
        super().__init__(
            f"{len(agent_ids)} agents that the tasks speak of are not known here: export them too.",
            agents=shown,
        )


class SubjectsUnknown(Conflict):
    """Tasks are about subjects of which only the other installation's pseudonyms are known.
    `subjects` are these; whoever knows their names gives them with `subject`."""

    code = "subjects_unknown"

    def __init__(self, subject_ids: Collection[UUID]) -> None:
        shown = sorted(map(str, subject_ids))[:SHOWN_MAX]
        super().__init__(
            f"Who {len(subject_ids)} subjects are is not known here: say it by "
            "subject=<id>=<name>, so that what is personal is encrypted under their keys.",
            subjects=shown,
        )


class ExportLocked(Conflict):
    """What is personal was not readable where the export was written, and is not in it."""

    code = "export_locked"

    def __init__(self, line: int) -> None:
        super().__init__(
            f"Line {line}: what is personal is [locked] in it; export it from a service with the "
            "former signing key.",
            line=line,
        )


class TooManyImports(Unavailable):
    """As many imports are under way as can be."""

    code = "too_many_imports"

    def __init__(self) -> None:
        super().__init__("Another import is under way.", retry_after_seconds=5)
