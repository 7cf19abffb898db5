"""Letting archives go: their manifests first, and after a grace period the files that no other
names. A kill between any two steps leaves what the next run takes away, and nothing broken."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from application.archives.chain import Catalogue
from application.archives.faults import ArchiveLocked, BadArchive
from application.archives.format import (
    KEYS,
    MANIFEST_BYTES_MAX,
    MANIFEST_NAME,
    MANIFESTS,
    SEGMENT_NAME,
    SEGMENTS,
    key_name,
)
from application.archives.ports import FileMissing, Kept, Repository, Told
from application.archives.retention import Candidate, Rules, Status, Verdict, judge, may_be_missing

EXPIRED = "expired"
"""The folder in which the manifest of an archive that was let go stays for the grace period."""
STAGE = "expire"
KeyOf = Callable[[Repository, str], str | None]
"""Which data key a segment names; None: it is not encrypted. Raises BadArchive, FileMissing,
RepositoryUnavailable."""
_MANIFEST = re.compile(MANIFEST_NAME.pattern.encode())
_SEGMENT = re.compile(SEGMENT_NAME.pattern.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the log knows of archives that have not expired by it: their status, and which of them
    were drilled and found equal."""

    statuses: Mapping[UUID, Status]
    drilled: Collection[UUID]

    @property
    def one_is_running(self) -> bool:
        """Then a file that nobody names yet may be of that one."""
        return "running" in self.statuses.values()


@dataclass(slots=True)
class Expired:
    """What went, or would go. `gone` and `kept` are pairs of an archive's id and the reason;
    `unreadable` are manifests that nobody here can judge, and what is wrong with them: they stay,
    with every file whose name stands in them. Is it a segment, all data keys stay."""

    gone: list[tuple[UUID, str]] = field(default_factory=list)
    kept: list[tuple[UUID, str]] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    files: int = 0
    file_bytes: int = 0
    locked: int = 0

    def members(self, *, dry_run: bool) -> dict[str, Any]:
        """As JSON (interfaces/README.md, POST /v1/backups/expire)."""
        return {
            "archives": [{"id": str(one), "reason": reason} for one, reason in self.gone],
            "kept": [{"id": str(one), "reason": reason} for one, reason in self.kept],
            "unreadable": [
                {"name": name, "fault": fault} for name, fault in self.unreadable.items()
            ],
            "files": self.files,
            "bytes": self.file_bytes,
            "locked": self.locked,
            "dry_run": dry_run,
        }


class Expiry:
    """One run over a repository. `grace` is how long files stay that no archive names any more;
    `key_of` tells which data key a segment needs.

    Everything raises RepositoryUnavailable; whatever was done until then stands, and the next run
    goes on.
    """

    def __init__(
        self,
        repository: Repository,
        catalogue: Catalogue,
        *,
        rules: Rules,
        grace: timedelta,
        key_of: KeyOf,
    ) -> None:
        self._repository = repository
        self._catalogue = catalogue
        self._rules = rules
        self._grace = grace
        self._key_of = key_of

    def run(self, known: Known, *, now: datetime, dry_run: bool, told: Told) -> Expired:
        """Let go what no rule keeps. Of a dry run the answer alone."""
        expired = Expired()
        verdicts = judge(self._candidates(known), self._rules, now=now)
        expired.unreadable = {n: fault.fault for n, fault in self._catalogue.broken.items()}
        self._let_go(verdicts, expired, dry_run=dry_run, told=told)
        self._tell_again(known, expired)
        if not known.one_is_running:
            gone = {archive_id for archive_id, _ in expired.gone}
            staying = {v.candidate.name for v in verdicts if v.candidate.archive_id not in gone}
            self._sweep(staying, expired, now=now, dry_run=dry_run, told=told)
        return expired

    # Archives.

    def _candidates(self, known: Known) -> Iterator[Candidate]:
        for file in self._catalogue.manifests():
            manifest = file.manifest
            yield Candidate(
                archive_id=manifest.archive_id,
                name=file.name,
                epoch=manifest.epoch,
                taken_at=manifest.taken_at,
                continues=None if manifest.continues is None else manifest.continues.name,
                status=known.statuses.get(manifest.archive_id),
                is_drilled=manifest.archive_id in known.drilled,
            )

    def _let_go(
        self, verdicts: Sequence[Verdict], expired: Expired, *, dry_run: bool, told: Told
    ) -> None:
        """Newest first, so that at no moment an archive is there and what it goes on from is not.
        What a locked one goes on from stays as well, and so does what an unreadable one names."""
        needed = self._named_by_unreadable(_MANIFEST)
        for done, verdict in enumerate(verdicts):
            told(STAGE, done, len(verdicts))
            one = verdict.candidate
            reasons = list(verdict.reasons)
            if not reasons and one.name in needed:
                reasons.append("one that stays goes on from it")
            if not reasons and not dry_run and not self._put_aside(one.name):
                reasons.append("locked by the store")
            if reasons:
                expired.kept.append((one.archive_id, ", ".join(reasons)))
                needed.add(one.continues or "")
            else:
                expired.gone.append((one.archive_id, "no rule keeps it"))

    def _put_aside(self, name: str) -> bool:
        """False when the store does not let it go."""
        aside = name.replace(MANIFESTS, EXPIRED, 1)
        try:
            content = self._repository.get(name, bytes_max=MANIFEST_BYTES_MAX)
        except FileMissing:
            return True
        self._repository.replace(aside, content)
        try:
            self._repository.delete(name)
        except ArchiveLocked:
            self._repository.delete(aside)
            return False
        return True

    def _tell_again(self, known: Known, expired: Expired) -> None:
        """Of archives that went when nobody came to write it down."""
        told = {archive_id for archive_id, _ in (*expired.gone, *expired.kept)}
        for kept in self._repository.listed(EXPIRED):
            archive_id = _archive_id(kept.name)
            if archive_id is not None and archive_id in known.statuses and archive_id not in told:
                expired.gone.append((archive_id, "let go before"))

    # Files.

    def _sweep(
        self,
        staying: Collection[str],
        expired: Expired,
        *,
        now: datetime,
        dry_run: bool,
        told: Told,
    ) -> None:
        """Segments that nothing names, then data keys that no segment names. A file that is newer
        than the newest archive may be of the one that comes next, and where there is no archive
        nothing is known to be too much."""
        archives = [kept for kept in self._repository.listed(MANIFESTS) if kept.name in staying]
        if not archives:
            return
        until = min(now - self._grace, max(kept.kept_at for kept in archives))
        named = self._named(staying, now=now)
        gone = {archive_id for archive_id, _ in expired.gone}
        for kept in self._repository.listed(EXPIRED):
            # What this run let go stays, whatever the clocks say.
            if kept.kept_at > now - self._grace or _archive_id(kept.name) in gone:
                named |= _names_in(self._content(kept.name), _SEGMENT)
            elif not dry_run:
                self._remove(kept, expired)
        going: set[str] = set()
        for done, kept in enumerate(self._repository.listed(SEGMENTS)):
            if done % 1_000 == 0:
                told("sweep", done, 0)
            if kept.name in named or kept.kept_at > until:
                continue
            if self._take_away(kept, expired, dry_run=dry_run):
                going.add(kept.name)
        self._sweep_keys(going, expired, until=until, dry_run=dry_run)

    def _sweep_keys(
        self, going: Collection[str], expired: Expired, *, until: datetime, dry_run: bool
    ) -> None:
        """What is `going` is named no more. No manifest tells of keys, so segments are asked until
        each key is named by one; where one cannot be read, nobody knows what it needs, and all
        stay."""
        unnamed = {kept.name: kept for kept in self._repository.listed(KEYS)}
        unnamed = {name: kept for name, kept in unnamed.items() if kept.kept_at <= until}
        for segment in self._repository.listed(SEGMENTS) if unnamed else ():
            if segment.name in going:
                continue
            try:
                key_id = self._key_of(self._repository, segment.name)
            except FileMissing:
                continue
            except BadArchive as fault:
                expired.unreadable[segment.name] = fault.fault
                return
            if key_id is not None:
                unnamed.pop(key_name(key_id), None)
            if not unnamed:
                return
        for kept in unnamed.values():
            self._take_away(kept, expired, dry_run=dry_run)

    def _take_away(self, kept: Kept, expired: Expired, *, dry_run: bool) -> bool:
        if not dry_run and not self._remove(kept, expired):
            return False
        expired.files += 1
        expired.file_bytes += kept.size
        return True

    def _named(self, staying: Collection[str], *, now: datetime) -> set[str]:
        """By archives that stay, by those that came meanwhile, by those that would go in earnest
        only now, and by those that nobody here can read."""
        named: set[str] = set()
        newest_first = list(reversed(self._catalogue.manifests()))
        with_state = [file.name for file in newest_first if file.name in staying]
        rank = {name: newer for newer, name in enumerate(with_state)}
        for file in newest_first:
            manifest = file.manifest
            named.update(
                entry.name
                for entry in manifest.files
                if not may_be_missing(
                    entry.content,
                    manifest.taken_at,
                    newer_archives=rank.get(file.name, 0),
                    now=now,
                )
            )
        return named | self._named_by_unreadable(_SEGMENT)

    def _named_by_unreadable(self, names: re.Pattern[bytes]) -> set[str]:
        """Nothing of them is believed, except that somebody may yet need what they name."""
        found: set[str] = set()
        for broken in self._catalogue.broken:
            found |= _names_in(self._content(broken), names)
        return found

    def _content(self, name: str) -> bytes:
        """Empty where there is none that anybody could read."""
        try:
            return self._repository.get(name, bytes_max=MANIFEST_BYTES_MAX)
        except (FileMissing, BadArchive):
            return b""

    def _remove(self, kept: Kept, expired: Expired) -> bool:
        try:
            self._repository.delete(kept.name)
        except ArchiveLocked:
            expired.locked += 1
            return False
        return True


def _names_in(content: bytes, names: re.Pattern[bytes]) -> set[str]:
    return {match[0].decode() for match in names.finditer(content)}


def _archive_id(name: str) -> UUID | None:
    named = MANIFEST_NAME.fullmatch(name.replace(EXPIRED, MANIFESTS, 1))
    return named and UUID(named[5])
