"""What the agents' small results say together about the files."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any, TypedDict

from interfaces.cli.demo.analysis import NearDuplicate

KEYWORDS_SHOWN = 12
CORPUS_FILES_MIN = 5
FUNCTIONS_SHOWN = 6
GROUPS_SHOWN = 5
EXTREMES_SHOWN = 3
READABLE_WORDS_MIN = 100

Results = Mapping[str, Mapping[str, Any]]
"""The results of one kind of task, by the name of the file."""


class ComplexFunction(TypedDict):
    """A function with many paths through it, and where it stands."""

    file: str
    line: int
    name: str
    complexity: int


class ReadingEase(TypedDict):
    """How easily one file's prose reads (Flesch: 100 very easy, 0 very hard)."""

    file: str
    reading_ease: float


class Readability(TypedDict):
    """The prose of all files: how much of it, and how it reads."""

    files: int
    words: int
    median_reading_ease: float | None
    easiest: list[ReadingEase]
    hardest: list[ReadingEase]


class LookAlikes(TypedDict):
    """Files that resemble one another, directly or through others of the group."""

    files: list[str]
    similarity_max: float


def top_keywords(results: Results) -> list[str]:
    """The words that tell these files apart: often in some, but not in all of them (tf-idf)."""
    files_with: dict[str, int] = defaultdict(int)
    weight: dict[str, float] = defaultdict(float)
    for result in results.values():
        for keyword in result["keywords"]:
            files_with[keyword["word"]] += 1
            weight[keyword["word"]] += math.log2(1 + keyword["count"])
    if len(results) < CORPUS_FILES_MIN:
        score = weight
    else:
        score = {
            word: total * math.log(len(results) / files_with[word])
            for word, total in weight.items()
            if files_with[word] > 1
        }
    return sorted(score, key=lambda word: (-score[word], word))[:KEYWORDS_SHOWN]


def most_complex(results: Results) -> list[ComplexFunction]:
    """The functions with the most paths through them, over all files."""
    functions = [
        ComplexFunction(
            file=file,
            line=function["line"],
            name=function["name"],
            complexity=function["complexity"],
        )
        for file, result in results.items()
        for function in result["worst"]
    ]
    functions.sort(key=lambda function: (-function["complexity"], function["file"]))
    return functions[:FUNCTIONS_SHOWN]


def readability(results: Results) -> Readability:
    """How the prose reads: the middle, and the extremes among files with enough of it."""
    judged = sorted(
        (
            ReadingEase(file=file, reading_ease=result["reading_ease"])
            for file, result in results.items()
            if result["reading_ease"] is not None and result["words"] >= READABLE_WORDS_MIN
        ),
        key=lambda judgement: (judgement["reading_ease"], judgement["file"]),
    )
    shown = min(EXTREMES_SHOWN, len(judged) // 2)
    return {
        "files": len(results),
        "words": sum(result["words"] for result in results.values()),
        "median_reading_ease": median(j["reading_ease"] for j in judged) if judged else None,
        "easiest": judged[::-1][:shown],
        "hardest": judged[:shown],
    }


def look_alikes(
    batches: Iterable[Mapping[str, Sequence[NearDuplicate]]],
    *,
    called: Callable[[str], str] = str,
) -> list[LookAlikes]:
    """Near-duplicate pairs, joined into groups: the most alike first. `called` shortens a path."""
    pairs = [pair for batch in batches for pair in batch["pairs"]]
    group_of: dict[str, set[str]] = {}
    for pair in pairs:
        first, second = pair["first"], pair["second"]
        joined = group_of.get(first, {first}) | group_of.get(second, {second})
        for file in joined:
            group_of[file] = joined
    groups = {id(group): group for group in group_of.values()}.values()
    found = [
        LookAlikes(
            files=sorted(map(called, group)),
            similarity_max=max(p["similarity"] for p in pairs if p["first"] in group),
        )
        for group in groups
    ]
    return sorted(found, key=lambda group: (-group["similarity_max"], group["files"]))
