"""The words of a predicate, each with the column where it stands."""

import re
from dataclasses import dataclass
from typing import Literal

from domain.errors import Invalid

LENGTH_MAX = 500
WORD = re.compile(
    r"""\s*(?:
      (?P<number>[0-9]+(?:\.[0-9]+)?(?![A-Za-z0-9_]))
    | (?P<text>"[^"]*"|'[^']*')
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign><=|>=|!=|==|[-+<>=().\[\]])
    )""",
    re.VERBOSE | re.ASCII,
)
DIGITS_MAX = 15


class BadPredicate(Invalid):
    """The predicate cannot be read. `column` counts from 1; `nearest` is the valid name most like
    the one that stands there, if there is any."""

    code = "bad_predicate"

    def __init__(self, message: str, *, column: int, nearest: str | None = None) -> None:
        hint = f" Did you mean {nearest}?" if nearest else ""
        super().__init__(f"Column {column}: {message}{hint}", column=column, nearest=nearest)


@dataclass(frozen=True, slots=True)
class Token:
    """A word: its sort, itself (a text without its quotes), and its column. `end` has no text."""

    sort: Literal["number", "text", "name", "sign", "end"]
    text: str
    column: int


def tokens_of(text: str) -> list[Token]:
    """All of them, and the end. Raises BadPredicate."""
    if len(text) > LENGTH_MAX:
        raise BadPredicate(
            f"the predicate has more than {LENGTH_MAX} characters.", column=LENGTH_MAX + 1
        )
    found, place, end = [], 0, len(text.rstrip())
    while place < end:
        match = WORD.match(text, place)
        if match is None:
            rest = text[place:].lstrip()
            raise BadPredicate(_unreadable(rest), column=len(text) - len(rest) + 1)
        found.append(_token(match))
        place = match.end()
    return [*found, Token("end", "", end + 1)]


def _token(match: "re.Match[str]") -> Token:
    sort = match.lastgroup
    word = match[sort or 0]
    column = match.start(sort or 0) + 1
    match sort:
        case "number":
            if len(word) > DIGITS_MAX:
                raise BadPredicate("the number is too long.", column=column)
            return Token("number", word, column)
        case "text":
            return Token("text", word[1:-1], column)
        case "name":
            return Token("name", word, column)
    return Token("sign", word, column)


def _unreadable(rest: str) -> str:
    if rest[0] in "\"'":
        return "the quote is not closed."
    return f"{rest[0]!r} means nothing here."
