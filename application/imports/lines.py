"""A signed export, read line by line: what it says, and what the taking in of each line needs."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Self
from uuid import UUID

import orjson

from application.cursor import Cursor
from application.erasure.sealed import ERASED, PERSONAL
from application.export.manifest import Manifest, check
from application.imports.refusals import BadEvent, ImportTooLarge, UntrustedKey
from application.seals.ports import SignatureCheck

LINES_MAX = 50_000
"""Of events, those that are here already included; each takes about a kilobyte of memory."""
AGGREGATES_MAX = 1_000
"""A tenth of those that the writer remembers: the others need their places."""

Reads = Callable[[int, bytes], dict[str, Any]]
"""From the number of a line and its bytes, the CloudEvent on it: of a task or an agent, each member
and each field of its data as the service itself would have taken it. Raises BadEvent,
NotImportable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An event as it was exported. `data` is its own fields as JSON, `time` when it happened.

    `agent_id`, `relatives` (of a submission: parent and first ancestor) and `subject_id` are what
    it names; `tells`: whether it holds something personal that was not erased.
    """

    number: int
    topic: str
    aggregate_id: UUID
    version: int
    time: str
    actor: str
    command_id: UUID
    correlation_id: UUID
    traceparent: str | None
    data: bytes
    agent_id: UUID | None
    relatives: tuple[UUID, ...]
    subject_id: UUID | None
    tells: bool

    @classmethod
    def of(cls, number: int, event: dict[str, Any]) -> Self:
        """From the CloudEvent. Raises BadEvent when it is said to be of something else."""
        kind, _, aggregate_id = event["subject"].partition("/")
        topic, data = event["type"], event["data"]
        if kind != topic.partition(".")[0]:
            raise BadEvent(number, f"{topic} did not happen to {event['subject']}")
        related = (data.get("parent_id"), data.get("root_id"))
        values = (data.get(name) for name in PERSONAL.get(topic, ()))
        return cls(
            number=number,
            topic=topic,
            aggregate_id=UUID(aggregate_id),
            version=event["version"],
            time=event["time"],
            actor=event["actor"],
            command_id=UUID(event["commandid"]),
            correlation_id=UUID(event["correlationid"]),
            traceparent=event["traceparent"],
            # As text: a few bytes of JSON can be many of objects.
            data=orjson.dumps(data),
            agent_id=_id(data.get("agent_id")),
            relatives=tuple(UUID(one) for one in related if one),
            subject_id=_id(data.get("subject_id")),
            tells=any(value not in (None, ERASED) for value in values),
        )


def read_export(
    content: bytes, read: Reads, signed: SignatureCheck, trusted: Collection[str]
) -> tuple[Manifest, list[Line]]:
    """What a signed export says, once every byte of it was found as it was signed, by a key of one
    of the ids that are `trusted`.

    Raises BadExport, UntrustedKey, ImportTooLarge, BadEvent, NotImportable.
    """
    manifest = check(BytesIO(content), signed)
    if manifest.key_id not in trusted:
        raise UntrustedKey(manifest.key_id)
    if manifest.count > LINES_MAX:
        raise ImportTooLarge(f"{manifest.count:,} events", f"{LINES_MAX:,}")
    lines, former = [], Cursor(0, 0)
    for number, raw in enumerate(BytesIO(content), start=1):
        if number > manifest.count:
            break
        event = read(number, raw)
        cursor = _cursor_of(number, event, manifest)
        if (cursor.epoch, cursor.position) <= (former.epoch, former.position):
            raise BadEvent(number, f"{cursor} does not follow on {former}")
        lines.append(Line.of(number, event))
        former = cursor
    if len({line.aggregate_id for line in lines}) > AGGREGATES_MAX:
        raise ImportTooLarge("more tasks and agents", f"{AGGREGATES_MAX:,} of them")
    return manifest, lines


def _cursor_of(number: int, event: dict[str, Any], manifest: Manifest) -> Cursor:
    if event["source"] != f"/musterroll/{manifest.log}":
        raise BadEvent(number, "it is of another log than the signed line says")
    if event["data"].get("tenant", manifest.tenant) != manifest.tenant:
        raise BadEvent(number, "it is of another tenant than the signed line says")
    return Cursor.parse(event["id"])


def _id(text: str | None) -> UUID | None:
    return UUID(text) if text else None
