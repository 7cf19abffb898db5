"""Manifests that lie, signed by the key that everybody trusts."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson

from application.archives.format import (
    FILES_MAX,
    PLAIN_BYTES_MAX,
)
from application.archives.manifest import TITLE, Reference
from tests.archive_forge import Forge
from tests.faults.hostile_case import content_of, hostile, newest, overwrite


def members_of(forge: Forge) -> dict[str, Any]:
    text = content_of(forge, newest(forge))
    members: dict[str, Any] = orjson.loads(text)["manifest"]
    return members


def sign_text(forge: Forge, text: bytes) -> None:
    """In place of the newest manifest, whatever it says."""
    parts = [b'{"manifest":', text, b',"public_key":"', forge.signer.public_key.hex().encode()]
    signature = forge.signer.sign(TITLE + text).hex().encode()
    overwrite(forge, newest(forge), b"".join([*parts, b'","signature":"', signature, b'"}\n']))


def sign_members(forge: Forge, **changes: Any) -> None:
    members = members_of(forge) | changes
    sign_text(forge, orjson.dumps(members, option=orjson.OPT_SORT_KEYS))


def sign_first_file(forge: Forge, **changes: Any) -> None:
    """With another first file of events."""
    files = members_of(forge)["files"]
    files[0].update(changes)
    sign_members(forge, files=files)


def named_bad_manifest(name: str, lie: Callable[[Forge], None]) -> None:
    """A manifest that cannot be, whatever its files are."""

    def do(forge: Forge) -> None:
        lie(forge)

    do.__name__ = name
    hostile("bad_manifest", level=0)(do)


for _name, _changes in {
    "the_format_is_of_the_future": {"format": 2},
    "the_format_is_a_text": {"format": "1"},
    "the_type_is_unknown": {"type": "differential"},
    "the_id_is_no_uuid": {"archive_id": "../../../etc/passwd"},
    "the_epoch_is_0": {"epoch": 0},
    "the_epoch_is_no_number": {"epoch": "1"},
    "the_epoch_is_true": {"epoch": True},
    "the_size_is_2_to_the_63": {"size": 2**63},
    "the_size_is_negative": {"size": -1},
    "the_size_is_a_fraction": {"size": 1.5},
    "the_last_position_is_0": {"last": 0},
    "fewer_positions_were_issued_than_used": {"issued": 1},
    "the_base_is_beyond_the_size": {"base": 2**62},
    "the_base_is_another": {"base": 1},
    "an_incremental_continues_nothing": {"continues": None},
    "the_time_has_no_zone": {"taken_at": "2026-11-23T12:00:00.000000"},
    "the_time_is_none": {"taken_at": "9999-99-99T12:00:00.000000Z"},
    "the_time_has_another_form": {"taken_at": "2026-11-24T12:00:01Z"},
    "the_peaks_are_too_few": {"peaks": []},
    "a_peak_is_too_short": {"peaks": ["00"]},
    "the_root_is_not_that_of_the_peaks": {"root": "00" * 32},
    "there_are_no_files": {"files": []},
    "the_files_are_no_list": {"files": {"name": "x"}},
    "the_files_are_null": {"files": None},
    "a_file_is_null": {"files": [None]},
    "the_topics_are_a_list": {"topics": ["task.submitted"]},
    "a_topic_has_version_0": {"topics": {"task.submitted": 0}},
    "a_digest_has_no_position": {"digests": {"task_board": {"sha256": "00" * 32}}},
    "the_release_is_very_long": {"release": "x" * 1_000_000},
    "there_is_a_member_more": {"__import__": "os"},
    "it_continues_what_has_no_digest": {"continues": {"name": "x", "sha256": "x"}},
}.items():
    named_bad_manifest(_name, lambda forge, changes=_changes: sign_members(forge, **changes))  # type: ignore[misc]

for _name, _changes in {
    "a_file_leads_out_of_the_repository": {"name": "segments/../../../../etc/passwd"},
    "a_file_has_an_absolute_name": {"name": "/etc/passwd"},
    "a_file_has_a_zero_in_its_name": {"name": "segments/\0"},
    "a_file_is_a_manifest": {"name": "LATEST"},
    "a_file_is_named_for_other_positions": {"first": 2},
    "a_file_holds_2_to_the_63_events": {"count": 2**63},
    "a_file_holds_no_events": {"count": 0},
    "a_file_holds_a_million_events": {"count": 1_000_000},
    "a_file_holds_more_events_than_positions": {"count": 9_999},
    "a_file_begins_below_0": {"first": -1},
    "a_file_is_a_tebibyte": {"size": 2**40},
    "a_file_becomes_a_tebibyte": {"plain_bytes": 2**40},
    "a_file_becomes_a_byte_too_many": {"plain_bytes": PLAIN_BYTES_MAX + 1},
    "a_file_has_no_time": {"first_at": None},
    "a_file_has_a_time_without_form": {"first_at": "yesterday"},
    "a_file_is_of_an_unknown_kind": {"content": "triggers"},
    "a_file_has_a_short_digest": {"sha256": "00"},
    "a_file_has_a_member_more": {"command": "rm"},
}.items():
    named_bad_manifest(_name, lambda forge, changes=_changes: sign_first_file(forge, **changes))  # type: ignore[misc]


@hostile("bad_manifest", level=0)
def the_manifest_lacks_a_member(forge: Forge) -> None:
    members = members_of(forge)
    del members["issued"]
    sign_text(forge, orjson.dumps(members, option=orjson.OPT_SORT_KEYS))


@hostile("bad_manifest", level=0)
def the_manifest_has_spaces(forge: Forge) -> None:
    members = members_of(forge)
    sign_text(forge, orjson.dumps(members, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2))


@hostile("bad_manifest", level=0)
def the_manifest_is_not_sorted(forge: Forge) -> None:
    sign_text(forge, orjson.dumps(dict(reversed(members_of(forge).items()))))


@hostile("bad_manifest", level=0)
def a_member_stands_twice(forge: Forge) -> None:
    text = orjson.dumps(members_of(forge), option=orjson.OPT_SORT_KEYS)
    sign_text(forge, b'{"archive_id":"x",' + text[1:])


@hostile("bad_manifest", level=0)
def a_number_has_400_digits(forge: Forge) -> None:
    text = orjson.dumps(members_of(forge), option=orjson.OPT_SORT_KEYS)
    sign_text(forge, text.replace(b'"epoch":1', b'"epoch":1' + b"0" * 400))


@hostile("bad_manifest", level=0)
def a_number_is_not_a_number(forge: Forge) -> None:
    text = orjson.dumps(members_of(forge), option=orjson.OPT_SORT_KEYS)
    sign_text(forge, text.replace(b'"epoch":1', b'"epoch":NaN'))


@hostile("bad_manifest", level=0)
def the_manifest_is_a_list_of_lists(forge: Forge) -> None:
    sign_text(forge, b"[" * 100_000 + b"]" * 100_000)


@hostile("bad_manifest", level=0)
def the_manifest_is_five_million_lists(forge: Forge) -> None:
    sign_text(forge, b"[" + b"[]," * 5_000_000 + b"[]]")


@hostile("bad_manifest", level=0)
def the_manifest_is_not_utf8(forge: Forge) -> None:
    text = orjson.dumps(members_of(forge), option=orjson.OPT_SORT_KEYS)
    sign_text(forge, text.replace(b"0.0.0", b"\xff.0.0"))


@hostile("bad_manifest", level=0)
def it_lists_too_many_files(forge: Forge) -> None:
    file = members_of(forge)["files"][-1]
    few = {"name": "", "sha256": "", "root": ""}
    sign_members(forge, files=[file | few] * (FILES_MAX + 1))


@hostile("manifest_too_large", level=0)
def it_lists_a_million_files(forge: Forge) -> None:
    sign_members(forge, files=[members_of(forge)["files"][0]] * 1_000_000)


@hostile("bad_manifest", level=0)
def it_lists_a_file_twice(forge: Forge) -> None:
    files = members_of(forge)["files"]
    sign_members(forge, files=[files[0], *files])


@hostile("bad_manifest", level=0)
def its_files_stand_in_another_order(forge: Forge) -> None:
    sign_members(forge, files=members_of(forge)["files"][::-1])


@hostile("bad_manifest", level=0)
def it_leaves_out_a_file_of_events(forge: Forge) -> None:
    sign_members(forge, files=members_of(forge)["files"][1:])


def resign(forge: Forge, **changes: Any) -> None:
    """The newest manifest again, with something else in it that could be."""
    manifest = replace(forge.taken[-1].manifest, **changes)
    overwrite(forge, manifest.file_name, manifest.encode(forge.signer))


@hostile("foreign_archive", level=0)
def it_is_of_another_store(forge: Forge) -> None:
    resign(forge, store_id=UUID(int=1))


@hostile("broken_chain", level=0)
def it_goes_on_from_events_that_the_former_has_not(forge: Forge) -> None:
    manifest = forge.taken[-1].manifest
    files = tuple(f for f in manifest.files if f is not manifest.files_of("events")[0])
    resign(forge, files=files, base=manifest.base + 60)


@hostile("broken_chain", level=0)
def it_continues_itself(forge: Forge) -> None:
    resign(forge, continues=Reference(newest(forge), "00" * 32))


@hostile("broken_chain", level=0)
def it_continues_what_is_no_manifest(forge: Forge) -> None:
    resign(forge, continues=Reference("../../etc/passwd", "00" * 32))


@hostile("root_differs")
def its_tree_is_another(forge: Forge) -> None:
    manifest = forge.taken[-1].manifest
    resign(forge, peaks=(bytes(32), *manifest.peaks[1:]))
