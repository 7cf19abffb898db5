"""Reads a predicate: by hand, top down, as far as a few levels deep."""

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any
from uuid import UUID

from application.time_travel.predicate.names import (
    EVERY,
    OF_AGENT,
    OF_TASK,
    PLAIN,
    Part,
    Sort,
    View,
)
from application.time_travel.predicate.tokens import BadPredicate, Token, tokens_of

DEPTH_MAX = 20
TASKS_MAX = 4

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
IN_WORDS: dict[Sort, str] = {"number": "a number", "text": "a text", "truth": "true or false"}
See = Callable[[View], Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """Something with a value in every view: a number, a text, a truth, or None for null."""

    sort: Sort
    see: See
    column: int


@dataclass(slots=True)
class Predicate:
    """Something that holds in a view or does not. `tasks` are those that it names."""

    text: str
    tasks: set[UUID] = field(default_factory=set)
    see: See = bool

    def holds(self, view: View) -> bool:
        """Whether it does."""
        return self.see(view) is True


def predicate_of(text: str) -> Predicate:
    """Raises BadPredicate."""
    return _Reading(text).whole()


class _Reading:
    def __init__(self, text: str) -> None:
        self._tokens = tokens_of(text)
        self._place = 0
        self._depth = 0
        self._predicate = Predicate(text)

    def whole(self) -> Predicate:
        found = self._either()
        rest = self._next
        if rest.sort != "end":
            raise BadPredicate(f"{rest.text!r} is one word too many.", column=rest.column)
        self._require(found, "truth")
        self._predicate.see = found.see
        return self._predicate

    # From the loosest to the tightest.

    def _either(self) -> Seen:
        left = self._both()
        while self._took("or"):
            left = self._joined(left, self._both(), lambda one, other: one or other)
        return left

    def _both(self) -> Seen:
        left = self._negation()
        while self._took("and"):
            left = self._joined(left, self._negation(), lambda one, other: one and other)
        return left

    def _negation(self) -> Seen:
        token = self._next
        if not self._took("not"):
            return self._comparison()
        self._enter(token)
        inner = self._negation()
        self._depth -= 1
        self._require(inner, "truth")
        see = inner.see
        return Seen("truth", lambda view: see(view) is not True, token.column)

    def _comparison(self) -> Seen:
        left = self._sum()
        sign = self._next
        compare = COMPARISONS.get(sign.text) if sign.sort == "sign" else None
        if compare is None:
            return left
        self._place += 1
        right = self._sum()
        self._require(right, left.sort)
        if left.sort == "truth" and sign.text not in {"=", "==", "!="}:
            raise BadPredicate("true and false are in no order.", column=sign.column)
        one, other = left.see, right.see

        def holds(view: View) -> bool:
            a, b = one(view), other(view)
            return a is not None and b is not None and compare(a, b)

        return Seen("truth", holds, left.column)

    def _sum(self) -> Seen:
        left = self._value()
        while (sign := self._next).sort == "sign" and sign.text in "+-":
            self._place += 1
            left = _summed(left, self._value(), 1 if sign.text == "+" else -1, self._require)
        return left

    def _value(self) -> Seen:
        token = self._next
        self._place += 1
        match token.sort:
            case "number":
                number = float(token.text)
                return Seen("number", lambda _: number, token.column)
            case "text":
                return Seen("text", lambda _: token.text, token.column)
            case "name" if token.text in {"true", "false"}:
                truth = token.text == "true"
                return Seen("truth", lambda _: truth, token.column)
            case "name" if token.text not in {"and", "or", "not"}:
                return self._name(token)
            case "sign" if token.text == "(":
                self._enter(token)
                inner = self._either()
                self._depth -= 1
                self._take(")")
                return inner
        found = repr(token.text) if token.text else "the end"
        raise BadPredicate(f"{found} stands where a value is wanted.", column=token.column)

    def _name(self, first: Token) -> Seen:
        if first.text == "agent":
            key = self._key(first)
            part = self._part(first, OF_AGENT)
            return _of_one(part, lambda view: view.agent(key), first.column)
        if first.text == "task":
            task_id = self._task_id(first)
            part = self._part(first, OF_TASK)
            return _of_one(part, lambda view: view.task(task_id), first.column)
        self._take(".", instead_of=first)
        second = self._next
        self._place += 1
        name = f"{first.text}.{second.text}"
        if name == "queue.kind":
            kind = self._key(first)
            return Seen("number", lambda view: view.frame.queued[kind], first.column)
        found = PLAIN.get(name)
        if found is None:
            raise _unknown(name, first.column)
        return Seen(found.sort, found.see, first.column)

    def _key(self, first: Token) -> str:
        self._take("[", instead_of=first)
        key = self._next
        if key.sort != "text":
            raise BadPredicate("a name in quotes is wanted here.", column=key.column)
        self._place += 1
        self._take("]")
        return key.text

    def _task_id(self, first: Token) -> UUID:
        key = self._key(first)
        try:
            task_id = UUID(key)
        except ValueError:
            raise BadPredicate(f"{key[:40]!r} is no id.", column=first.column) from None
        self._predicate.tasks.add(task_id)
        if len(self._predicate.tasks) > TASKS_MAX:
            raise BadPredicate(f"more than {TASKS_MAX} tasks are named.", column=first.column)
        return task_id

    def _part(self, first: Token, parts: dict[str, Part]) -> Part:
        self._take(".")
        name = self._next
        self._place += 1
        if name.text not in parts:
            raise _unknown(f'{first.text}["..."].{name.text}', name.column)
        return parts[name.text]

    # Small steps.

    @property
    def _next(self) -> Token:
        return self._tokens[min(self._place, len(self._tokens) - 1)]

    def _took(self, word: str) -> bool:
        if self._next.sort != "name" or self._next.text != word:
            return False
        self._place += 1
        return True

    def _take(self, sign: str, *, instead_of: Token | None = None) -> None:
        token = self._next
        if token.sort != "sign" or token.text != sign:
            if instead_of is not None:
                raise _unknown(instead_of.text, instead_of.column)
            raise BadPredicate(f"{sign!r} is wanted here.", column=token.column)
        self._place += 1

    def _enter(self, token: Token) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise BadPredicate(
                f"it is nested more than {DEPTH_MAX} levels deep.", column=token.column
            )

    def _require(self, seen: Seen, sort: Sort) -> None:
        if seen.sort != sort:
            message = f"{IN_WORDS[sort]} is wanted here, and this is {IN_WORDS[seen.sort]}."
            raise BadPredicate(message, column=seen.column)

    def _joined(self, left: Seen, right: Seen, join: Callable[[bool, bool], bool]) -> Seen:
        self._require(left, "truth")
        self._require(right, "truth")
        one, other = left.see, right.see
        return Seen("truth", lambda view: join(one(view) is True, other(view) is True), left.column)


def _of_one(part: Part, find: See, column: int) -> Seen:
    def see(view: View) -> Any:
        found = find(view)
        return None if found is None else part.see(view, found)

    return Seen(part.sort, see, column)


def _summed(left: Seen, right: Seen, sign: int, require: Callable[[Seen, Sort], None]) -> Seen:
    require(left, "number")
    require(right, "number")
    one, other = left.see, right.see

    def see(view: View) -> Any:
        a, b = one(view), other(view)
        return None if a is None or b is None else a + sign * b

    return Seen("number", see, left.column)


def _unknown(name: str, column: int) -> BadPredicate:
    nearest = get_close_matches(name, EVERY, n=1, cutoff=0.4)
    return BadPredicate(
        f"there is no {name[:60]!r}.", column=column, nearest=nearest[0] if nearest else None
    )
