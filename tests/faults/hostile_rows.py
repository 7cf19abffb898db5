"""Rows that lie, in archives that are signed by the key that everybody trusts."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson

from domain.merkle import root_of
from infrastructure.archives.segment import Written
from tests.archive_forge import Event, Forge, number, request_row, row_of
from tests.faults.hostile_case import hostile
from tests.faults.hostile_segments import (
    compressed,
    full,
    plain_of,
    with_body,
    with_first,
    with_plain,
)
from tests.faults.tampering import a_signer


def with_events(forge: Forge, lie: Callable[[list[Event]], list[Event]]) -> UUID:
    """A log of other events, sealed and signed as if they had happened."""
    other = a_log(forge, lie(list(forge.events)))
    forge.__dict__.update(other.__dict__)
    return full(forge, forge.segments())


def a_log(forge: Forge, events: Sequence[Event]) -> Forge:
    """Of the same store and key."""
    other = Forge(forge.folder, forge.rng, forge.segment_events, forge.key, forge.signer)
    other.store_id, other.repository, other.keys = forge.store_id, forge.repository, forge.keys
    other.taken = forge.taken
    for event in events:
        other.add(event)
    other.seal()
    return other


def with_one(forge: Forge, index: int, /, **changes: Any) -> UUID:
    """One event is another."""

    def lie(events: list[Event]) -> list[Event]:
        return [*events[:index], replace(events[index], **changes), *events[index + 1 :]]

    return with_events(forge, lie)


def with_state(forge: Forge, topic: bytes, change: Callable[[bytes], bytes]) -> UUID:
    """The first event of the topic has another state."""
    at = next(n for n, event in enumerate(forge.events) if event.topic == topic)
    return with_one(forge, at, state=change(forge.events[at].state))


def with_members_of_state(forge: Forge, topic: bytes, **changes: Any) -> UUID:
    return with_state(forge, topic, lambda state: orjson.dumps(orjson.loads(state) | changes))


def with_rows(forge: Forge, lie: Callable[[list[bytes]], list[bytes]]) -> UUID:
    """The first segment holds other rows, and tells their root."""

    def other(one: Written) -> Written:
        rows = lie([event.row for event in forge.events[: one.entry.count]])
        plain = b"".join([struct.pack(">I", len(row)) + row for row in rows])
        root = root_of([sha256(row).digest() for row in rows])
        return with_body(one, compressed(plain), plain_bytes=len(plain), root=root)

    return with_first(forge, other)


@hostile("bad_row")
def a_row_is_longer_than_its_segment(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_plain(one, b"\xff" * 4 + plain_of(one)[4:]))


@hostile("bad_row")
def the_last_row_is_cut(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_plain(one, plain_of(one)[:-5]))


@hostile("bad_row", "count_differs")
def a_body_is_all_zeros(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_plain(one, bytes(10_000)))


@hostile("bad_row")
def a_row_has_13_columns(forge: Forge) -> UUID:
    return with_rows(forge, lambda rows: [b"\0\x0d" + rows[0][2:] + b"\xff" * 4, *rows[1:]])


@hostile("bad_row")
def a_position_has_4_bytes(forge: Forge) -> UUID:
    return with_rows(forge, lambda rows: [b"\0\x0c\0\0\0\4" + rows[0][6:], *rows[1:]])


@hostile("bad_row")
def a_column_is_longer_than_its_row(forge: Forge) -> UUID:
    def lie(rows: list[bytes]) -> list[bytes]:
        return [rows[0][:46] + struct.pack(">I", 2**31) + rows[0][50:], *rows[1:]]

    return with_rows(forge, lie)


@hostile("bad_row")
def a_state_is_null(forge: Forge) -> UUID:
    row = forge.events[0].row
    cut = row[: -len(forge.events[0].state) - 4] + b"\xff" * 4
    return with_rows(forge, lambda rows: [cut, *rows[1:]])


@hostile("bad_row")
def a_text_holds_a_zero(forge: Forge) -> UUID:
    return with_one(forge, 10, causation_id=b"event:\0")


@hostile("bad_row")
def a_text_is_not_utf8(forge: Forge) -> UUID:
    return with_one(forge, 10, causation_id=b"event:\xff")


@hostile("count_differs")
def a_row_is_missing(forge: Forge) -> UUID:
    return with_rows(forge, lambda rows: rows[:-1])


@hostile("count_differs", "positions_disordered", "versions_gap")
def a_row_stands_twice(forge: Forge) -> UUID:
    return with_rows(forge, lambda rows: [rows[0], *rows])


@hostile("root_differs")
def a_row_is_another(forge: Forge) -> UUID:
    def lie(one: Written) -> Written:
        plain = plain_of(one).replace(b"user/ad", b"user/eve"[:7], 1)
        return with_body(one, compressed(plain))

    return with_first(forge, lie)


@hostile("root_differs")
def the_rows_of_the_first_segment_are_others_throughout(forge: Forge) -> UUID:
    def lie(rows: list[bytes]) -> list[bytes]:
        return [row.replace(b"user/ad", b"user/ev", 1) for row in rows]

    return with_rows(forge, lie)


@hostile("positions_disordered")
def a_position_comes_again(forge: Forge) -> UUID:
    return with_one(forge, 10, position=forge.events[9].position)


@hostile("positions_disordered")
def a_position_is_negative(forge: Forge) -> UUID:
    return with_one(forge, 10, position=-5)


@hostile("positions_disordered")
def a_segment_begins_elsewhere(forge: Forge) -> UUID:
    def lie(rows: list[bytes]) -> list[bytes]:
        return [replace(forge.events[0], position=0).row, *rows[1:]]

    return with_rows(forge, lie)


@hostile("positions_disordered")
def time_runs_back(forge: Forge) -> UUID:
    return with_one(forge, 10, at=forge.events[9].at - timedelta(days=1))


@hostile("positions_disordered")
def the_manifest_tells_other_times(forge: Forge) -> UUID:
    first, *others = forge.segments()
    entry = replace(first.entry, first_at=forge.events[0].at - timedelta(days=1))
    return full(forge, [replace(first, entry=entry), *others])


@hostile("positions_disordered")
def an_event_is_of_the_year_300_000(forge: Forge) -> UUID:
    def lie(rows: list[bytes]) -> list[bytes]:
        at = len(rows[-1]) - len(forge.events[len(rows) - 1].state) - 12
        return [*rows[:-1], rows[-1][:at] + number(2**63 - 1) + rows[-1][at + 8 :]]

    return with_rows(forge, lie)


@hostile("versions_gap")
def a_version_is_missing(forge: Forge) -> UUID:
    at = next(n for n, event in enumerate(forge.events) if event.version == 2)
    return with_events(forge, lambda events: events[:at] + events[at + 1 :])


@hostile("versions_gap")
def an_aggregate_begins_with_version_2(forge: Forge) -> UUID:
    return with_one(forge, 0, version=2)


@hostile("versions_gap")
def a_version_is_2_to_the_63(forge: Forge) -> UUID:
    return with_one(forge, 0, version=2**63 - 1)


@hostile("versions_gap")
def a_version_comes_again_in_another_segment(forge: Forge) -> UUID:
    return with_one(forge, 100, aggregate_id=forge.events[0].aggregate_id, version=1)


@hostile("unknown_topic")
def a_topic_is_of_a_later_release(forge: Forge) -> UUID:
    return with_one(forge, 10, topic=b"task.teleported")


@hostile("unknown_topic")
def a_topic_names_a_function(forge: Forge) -> UUID:
    return with_one(forge, 10, topic=b"os:system")


@hostile("unknown_topic")
def a_topic_is_empty(forge: Forge) -> UUID:
    return with_one(forge, 10, topic=b"")


@hostile("bad_state")
def a_state_is_no_json(forge: Forge) -> UUID:
    return with_one(forge, 10, state=b"\x80\x04cos\nsystem\n(S'id'\ntR.")


@hostile("bad_state")
def a_state_is_empty(forge: Forge) -> UUID:
    return with_one(forge, 10, state=b"")


@hostile("bad_state")
def a_state_is_a_list(forge: Forge) -> UUID:
    return with_one(forge, 10, state=b"[]")


@hostile("bad_state")
def a_state_is_the_list_of_its_members(forge: Forge) -> UUID:
    started = [n for n, event in enumerate(forge.events) if event.topic == b"task.started"]
    names = orjson.dumps(list(orjson.loads(forge.events[started[-1]].state)))
    return with_one(forge, started[-1], state=names)


@hostile("bad_state")
def a_state_is_not_a_number(forge: Forge) -> UUID:
    return with_state(forge, b"task.started", lambda state: state.replace(b":1", b":NaN"))


@hostile("bad_state")
def a_state_is_a_hundred_thousand_lists_deep(forge: Forge) -> UUID:
    deep = b"[" * 100_000 + b"]" * 100_000
    return with_state(forge, b"task.completed", lambda s: s.replace(b'{"verdict":"fine"}', deep))


@hostile("bad_state")
def a_state_holds_two_million_lists(forge: Forge) -> UUID:
    wide = b"[" + b"[]," * 2_000_000 + b"[]]"
    return with_state(forge, b"task.completed", lambda s: s.replace(b'{"verdict":"fine"}', wide))


@hostile("bad_state")
def a_state_has_a_member_more(forge: Forge) -> UUID:
    return with_members_of_state(forge, b"task.started", originator_topic="os:system")


@hostile("bad_state")
def a_state_lacks_a_member(forge: Forge) -> UUID:
    return with_state(forge, b"task.started", lambda _: b"{}")


@hostile("bad_state")
def a_state_is_of_a_later_class_version(forge: Forge) -> UUID:
    return with_members_of_state(forge, b"task.submitted", class_version=99)


@hostile("bad_state")
def a_class_version_is_a_list(forge: Forge) -> UUID:
    return with_members_of_state(forge, b"task.submitted", class_version=[2])


@hostile("unreadable_history", level=3)
def a_task_is_submitted_twice(forge: Forge) -> UUID:
    at = next(n for n, event in enumerate(forge.events) if event.version == 2)
    first = next(event for event in forge.events if event.version == 1)
    return with_one(forge, at, topic=first.topic, state=first.state)


@hostile("unreadable_history", level=3)
def a_task_does_what_agents_do(forge: Forge) -> UUID:
    at = next(n for n, event in enumerate(forge.events) if event.version == 3)
    state = orjson.dumps({"timestamp": "2026-11-23T12:00:00+00:00"})
    return with_one(forge, at, topic=b"agent.came_online", state=state)


# What stands beside the events.


def with_heads(forge: Forge, lie: Callable[[Any], Any], at: int = 1) -> UUID:
    """One head is another."""
    events = [one for one in forge.segments() if one.entry.content != "heads"]
    heads = list(forge.heads)
    heads[at] = lie(heads[at])
    return full(forge, [*events, forge.heads_segment(heads)])


def signed_anew(forge: Forge, head: Any) -> Any:
    return replace(head, signature=forge.signer.sign(head.text))


@hostile("root_differs")
def a_head_tells_another_root(forge: Forge) -> UUID:
    return with_heads(forge, lambda head: signed_anew(forge, replace(head, root=bytes(32))))


@hostile("root_differs")
def a_head_tells_another_position(forge: Forge) -> UUID:
    return with_heads(forge, lambda h: signed_anew(forge, replace(h, position=h.position + 1)))


@hostile("bad_signature")
def a_head_was_not_signed(forge: Forge) -> UUID:
    return with_heads(forge, lambda head: replace(head, signature=bytes(64)))


@hostile("bad_signature")
def a_head_is_signed_by_a_stranger(forge: Forge) -> UUID:
    def lie(head: Any) -> Any:
        stranger = a_signer()
        head = replace(head, key_id=stranger.key_id)
        return replace(head, signature=stranger.sign(head.text))

    return with_heads(forge, lie)


@hostile("positions_disordered")
def a_head_does_not_follow_on_the_one_before(forge: Forge) -> UUID:
    return with_heads(forge, lambda head: signed_anew(forge, replace(head, previous=bytes(32))))


@hostile("positions_disordered")
def a_head_is_of_another_log(forge: Forge) -> UUID:
    return with_heads(forge, lambda head: signed_anew(forge, replace(head, log=UUID(int=1))))


@hostile("root_differs")
def a_head_is_of_more_events_than_there_are(forge: Forge) -> UUID:
    return with_heads(forge, lambda h: signed_anew(forge, replace(h, size=h.size + 100)), at=-1)


@hostile("bad_row")
def a_public_key_is_not_the_one_it_says(forge: Forge) -> UUID:
    *others, keys = forge.segments()
    row = row_of([forge.signer.key_id.encode(), a_signer().public_key, number(0)])
    last = keys.entry.last
    return full(forge, [*others, forge.segment(forge.draft("seal_keys", 0, last), [row])])


@hostile("bad_row")
def a_request_has_a_short_key(forge: Forge) -> UUID:
    others = [one for one in forge.segments() if one.entry.content != "requests"]
    draft = forge.draft("requests", 5, 5)
    return full(forge, [*others, forge.segment(draft, [request_row(5, bytes(8))])])


@hostile("positions_disordered")
def requests_stand_in_the_wrong_order(forge: Forge) -> UUID:
    others = [one for one in forge.segments() if one.entry.content != "requests"]
    rows = [request_row(base, bytes([base] * 16)) for base in (5, 3, 7)]
    return full(forge, [*others, forge.segment(forge.draft("requests", 5, 7), rows)])
