"""What the demo's agents work out about files: pure functions from text to small findings."""

import ast
import io
import re
import threading
import tokenize
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import TypedDict

KEYWORDS_PER_FILE = 12
WORST_FUNCTIONS_PER_FILE = 3
SHINGLE_WORDS = 5
SKETCH_HASHES = 256
NEAR_DUPLICATE_SIMILARITY = 0.5
PROSE_WORDS_MIN = 30
SENTENCE_WORDS_MAX = 60

_PARSING = threading.Lock()
_WORD = re.compile(r"[A-Za-z]+(?:['\u2019][a-z]+)?")
_SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)|\n\s*\n")
_VOWELS = re.compile(r"[aeiouy]+")
_TOKEN = re.compile(r"\w+")

# The commonest English words, and words that fill documentation without saying what it is about.
_FILLERS = """
    a about above after again all also an and any are aren as at be because been before being below
    between both but by can cannot could did do does doing don down during each either else etc even
    every few for from further get gets given had has have having he her here his how however i if
    in instead into is isn it its itself just let like made make makes many may me might more most
    much must my need needs no nor not note now of off on once one only or other otherwise our out
    over own per same see self she should since so some such than that the their them then there
    therefore these they this those through thus to too two under unless until up us use used uses
    using very via was we well were what when where whether which while who whom whose why will with
    within without won would you your
    arg args bool class cls code def default dict elif false first func function functions import
    int kwargs lambda list method module name new none null number object objects optional param
    pass print raise raised raises return returned returns set str string test tests todo true try
    tuple type types value values xxx
"""
_STOP_WORDS = frozenset(_FILLERS.split())


class WordStatistics(TypedDict):
    """How much prose there is, and how it reads."""

    words: int
    distinct_words: int
    sentences: int
    #: Flesch reading ease: 100 is very easy, 0 very hard; None where there is no prose to judge.
    reading_ease: float | None


class Keyword(TypedDict):
    """One word that a text is about."""

    word: str
    count: int


class FunctionComplexity(TypedDict):
    """How many independent paths lead through one function."""

    name: str
    line: int
    complexity: int


class Complexity(TypedDict):
    """The cyclomatic complexity of one Python file."""

    functions: int
    mean: float
    worst: list[FunctionComplexity]


class NearDuplicate(TypedDict):
    """Two files that say nearly the same."""

    first: str
    second: str
    similarity: float


def prose_of(text: str, *, is_python: bool) -> str:
    """The part written for people: docstrings and comments of Python, otherwise all of it.

    Python that does not parse (another version's, a template) is taken whole.
    """
    if not is_python:
        return text
    try:
        docstrings = list(_docstrings(_parse(text)))
        comments = list(_comments(text))
    except (SyntaxError, ValueError, RecursionError, tokenize.TokenError):
        return text
    return "\n\n".join([*docstrings, "\n".join(comments)])


def word_statistics(prose: str) -> WordStatistics:
    """Count words and sentences, and judge how easily they read."""
    words = _WORD.findall(prose)
    sentences = sum(1 for part in _SENTENCE_END.split(prose) if _WORD.search(part))
    return {
        "words": len(words),
        "distinct_words": len({word.lower() for word in words}),
        "sentences": sentences,
        "reading_ease": _reading_ease(words, sentences),
    }


def syllables_in(word: str) -> int:
    """Groups of vowels, less a silent final e: right for about nine English words in ten."""
    word = word.lower()
    groups = len(_VOWELS.findall(word))
    if word.endswith("e") and not word.endswith(("le", "ee")) and groups > 1:
        groups -= 1
    return max(1, groups)


def keywords(prose: str) -> list[Keyword]:
    """The words that the prose is about, commonest first; stop words and rarities left out."""
    counts = Counter(
        word
        for word in (found.lower() for found in _WORD.findall(prose))
        if len(word) > 2 and word not in _STOP_WORDS and "'" not in word
    )
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return [{"word": word, "count": count} for word, count in ranked[:KEYWORDS_PER_FILE]]


def complexity(source: str) -> Complexity:
    """Cyclomatic complexity (McCabe 1976) of every function: 1, and 1 for each way to branch.

    Raises SyntaxError where the source is not Python, ValueError or RecursionError where the
    compiler gives up on it.
    """
    found = [
        FunctionComplexity(name=name, line=node.lineno, complexity=_paths_through(node))
        for name, node in _functions(_parse(source))
    ]
    found.sort(key=lambda function: -function["complexity"])
    total = sum(function["complexity"] for function in found)
    return {
        "functions": len(found),
        "mean": round(total / len(found), 2) if found else 0.0,
        "worst": found[:WORST_FUNCTIONS_PER_FILE],
    }


def near_duplicates(texts: Mapping[str, str]) -> list[NearDuplicate]:
    """Pairs of texts that share most of their phrases, most alike first.

    Similarity is the Jaccard index of the texts' sets of five-word phrases (w-shingling, Broder
    1997), estimated from the smallest hashes of each set, so that a pair costs the same whatever
    the texts' length.
    """
    sketches = {name: sketch for name, text in texts.items() if (sketch := _sketch(text))}
    pairs = [
        NearDuplicate(first=first, second=second, similarity=round(similarity, 2))
        for first, second in combinations(sorted(sketches), 2)
        if (similarity := _resemblance(sketches[first], sketches[second]))
        >= NEAR_DUPLICATE_SIMILARITY
    ]
    return sorted(pairs, key=lambda pair: -pair["similarity"])


def _parse(source: str) -> ast.Module:
    # Python 3.11 counts the depth of the tree for all threads together: two at a time, and it takes
    # a sound source for a broken one ("AST constructor recursion depth mismatch").
    with _PARSING:
        return ast.parse(source)


# Prose.


def _docstrings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                yield docstring


def _comments(source: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string.lstrip("#!: ")


def _reading_ease(words: list[str], sentences: int) -> float | None:
    """Flesch (1948). Of a few words, or of a table without sentences, the number says nothing."""
    words_per_sentence = len(words) / max(1, sentences)
    if len(words) < PROSE_WORDS_MIN or words_per_sentence > SENTENCE_WORDS_MAX:
        return None
    syllables_per_word = sum(map(syllables_in, words)) / len(words)
    return round(206.835 - 1.015 * words_per_sentence - 84.6 * syllables_per_word, 1)


# Complexity.

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_BRANCHES = (
    ast.If,
    ast.IfExp,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.Assert,
    ast.comprehension,
    ast.match_case,
)


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, _Function]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, _Function):
            yield prefix + node.name, node
            yield from _functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")
        else:
            yield from _functions(node, prefix)


def _paths_through(function: _Function) -> int:
    paths = 1
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, _BRANCHES):
            paths += 1
        elif isinstance(node, ast.BoolOp):
            paths += len(node.values) - 1
        if not isinstance(node, _Function | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))
    return paths


# Near-duplicates.


def _sketch(text: str) -> frozenset[int]:
    """The smallest hashes of the text's shingles; empty where the text is too short to compare."""
    words = [word.lower().encode() for word in _TOKEN.findall(text)]
    shingles = {
        zlib.crc32(b" ".join(words[start : start + SHINGLE_WORDS]))
        for start in range(len(words) - SHINGLE_WORDS + 1)
    }
    return frozenset(sorted(shingles)[:SKETCH_HASHES])


def _resemblance(first: frozenset[int], second: frozenset[int]) -> float:
    """The Jaccard index, estimated from the smallest hashes of the union."""
    smallest = sorted(first | second)[:SKETCH_HASHES]
    shared = first & second
    return sum(1 for value in smallest if value in shared) / len(smallest)
