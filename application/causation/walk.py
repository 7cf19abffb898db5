"""A walk through the graph: facts are read once, and kept by aggregate in log order."""

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from heapq import merge
from operator import attrgetter
from uuid import UUID

from application.causation.ports import BUDGET_BYTES, BUDGET_FACTS, FACTS_MAX, Budget, CausationLog
from domain.causation import Fact, causes_before, relatives

_position = attrgetter("position")


class Walk:
    """What was found so far in one tenant's log. Blocks.

    `causes` holds those of every event that was taken, in the order of taking.
    """

    def __init__(self, log: CausationLog, tenant: str) -> None:
        self.tenant = tenant
        self.causes: dict[int, tuple[int, ...]] = {}
        self._log = log
        self._budget = Budget(facts=BUDGET_FACTS, bytes=BUDGET_BYTES)
        self._cut = False
        self._known: dict[int, Fact] = {}
        self._families: defaultdict[UUID, list[Fact]] = defaultdict(list)
        self._read_before: dict[UUID, int] = {}
        self._read_behind: dict[UUID, int] = {}
        self._judged: dict[int, tuple[int, ...]] = {}
        self._effects: defaultdict[int, list[Fact]] = defaultdict(list)

    @property
    def full(self) -> bool:
        """There is more than may be looked at; none of it is from now on."""
        return self._cut or self._budget.spent

    def at(self, positions: Collection[int]) -> list[Fact]:
        """The facts at these positions, newest first."""
        unknown = [one for one in positions if one not in self._known]
        if unknown:
            self._learn(self._log.facts_at(self.tenant, unknown, budget=self._budget))
        found = [self._known[one] for one in positions if one in self._known]
        return sorted(found, key=_position, reverse=True)

    def take(self, facts: Sequence[Fact], limit: int) -> list[Fact]:
        """As many of them as there is room for, with their causes found."""
        room = limit - len(self.causes)
        self._cut = self._cut or len(facts) > room
        taken = self._judge(facts[:room])
        self.causes.update((fact.position, self._judged[fact.position]) for fact in taken)
        return taken

    def effects_of(self, generation: Sequence[Fact]) -> list[Fact]:
        """Those that are caused by one of this generation and were not taken yet, oldest first."""
        self._judge(self._behind(generation))
        found = {
            effect.position: effect
            for fact in generation
            for effect in self._effects[fact.position]
            if effect.position not in self.causes
        }
        return [found[position] for position in sorted(found)]

    def _behind(self, generation: Sequence[Fact]) -> list[Fact]:
        """What may be an effect of these and was not looked at before."""
        versions: dict[UUID, int] = {}
        for fact in generation:
            version = min(fact.version, versions.get(fact.aggregate_id, fact.version))
            if version < self._read_behind.get(fact.aggregate_id, version + 1):
                versions[fact.aggregate_id] = version
        positions = [fact.position for fact in generation]
        found = self._log.facts_that_name(self.tenant, positions, budget=self._budget)
        self._cut = self._cut or len(found) >= FACTS_MAX
        if versions:
            self._read_behind |= versions
            after = self._log.facts_after(self.tenant, versions, budget=self._budget)
            births = self._log.births(self.tenant, versions.keys(), budget=self._budget)
            counts = Counter(fact.aggregate_id for fact in after)
            self._cut = self._cut or FACTS_MAX in {len(births), *counts.values()}
            found += [*after, *births]
        silences = [fact for fact in generation if fact.topic == "agent.went_offline"]
        if silences:
            lost = self._log.lost_leases(self.tenant, silences, budget=self._budget)
            self._cut = self._cut or len(lost) >= FACTS_MAX
            found += lost
        self._learn(found)
        return found

    def _judge(self, facts: Sequence[Fact]) -> list[Fact]:
        """Find the causes of these, once each; those of which they are known. Of what was read with
        the last of the budget some may be missing, and a root is not told from what has lost its
        cause: only where the walk began they are told as far as they are known."""
        fresh = list(
            {one.position: one for one in facts if one.position not in self._judged}.values()
        )
        self._read_what_is_before(fresh)
        for fact in fresh if not self._budget.spent or not self.causes else ():
            causes = self._judged[fact.position] = causes_before(fact, self._before(fact))
            for cause in causes:
                self._effects[cause].append(fact)
        return [fact for fact in facts if fact.position in self._judged]

    def _before(self, fact: Fact) -> Iterator[Fact]:
        """Its aggregate and the relatives, newest first."""
        ids = (fact.aggregate_id, *relatives(fact))
        families = [_before(fact.position, self._families[one]) for one in ids]
        return merge(*families, key=_position, reverse=True)

    def _read_what_is_before(self, facts: Sequence[Fact]) -> None:
        wanted: dict[UUID, int] = {}
        for fact in facts:
            for aggregate_id in (fact.aggregate_id, *relatives(fact)):
                wanted[aggregate_id] = max(wanted.get(aggregate_id, 0), fact.position)
        unread = [one for one, at in wanted.items() if self._read_before.get(one, 0) < at]
        if unread:
            before = max(wanted[one] for one in unread)
            budget = self._budget
            found = self._log.facts_before(self.tenant, unread, before=before, budget=budget)
            self._learn(found)
            self._read_before.update((one, before) for one in unread)

    def _learn(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            if fact.position not in self._known:
                self._known[fact.position] = fact
                insort(self._families[fact.aggregate_id], fact, key=_position)


def _before(position: int, family: Sequence[Fact]) -> Iterator[Fact]:
    """From the newest."""
    for place in range(bisect_left(family, position, key=_position) - 1, -1, -1):
        yield family[place]
