"""What the demo's agents find in files, on texts small enough to check by hand."""

import pytest

from interfaces.cli.demo.analysis import (
    complexity,
    keywords,
    near_duplicates,
    prose_of,
    syllables_in,
    word_statistics,
)

BRANCHING = '''
class Reader:
    def read(self, lines):
        """Read them."""
        for line in lines:
            if line and not line.isspace():
                yield line

    def skip(self):
        pass

async def main():
    def inner(a, b):
        return a if a else b
    while True:
        try:
            await inner(1, 2)
        except ValueError:
            assert True
'''

SEA_STORY = (
    "The old captain watched the harbour from his window. Every boat that left the harbour was "
    "written in his book. When a boat came back the captain crossed it out, and smiled at the sea. "
)


def test_prose_of_python_is_its_docstrings_and_comments() -> None:
    source = '"""Opens the gate."""\nx = 1  # one gate only\ndef f():\n    """Shuts it."""\n'

    prose = prose_of(source, is_python=True)

    assert prose.split("\n\n") == ["Opens the gate.", "Shuts it.", "one gate only"]


@pytest.mark.parametrize("source", ["def broken(:", "print 'two'", "\0", "(" * 500])
def test_python_that_does_not_parse_is_read_as_plain_text(source: str) -> None:
    assert prose_of(source, is_python=True) == source


def test_prose_of_any_other_file_is_the_whole_of_it() -> None:
    assert prose_of("# not a comment", is_python=False) == "# not a comment"


def test_words_and_sentences_are_counted() -> None:
    statistics = word_statistics("The cat sat. The dog didn't!\n\nA heading without an end")

    assert statistics["words"] == 11
    assert statistics["distinct_words"] == 10
    assert statistics["sentences"] == 3


def test_a_text_without_words_has_statistics_too() -> None:
    assert word_statistics("12 + 30 = 42") == {
        "words": 0,
        "distinct_words": 0,
        "sentences": 0,
        "reading_ease": None,
    }


@pytest.mark.parametrize(
    ("word", "syllables"),
    [("cat", 1), ("table", 2), ("make", 1), ("readability", 5), ("tree", 1), ("Python", 2)],
)
def test_syllables_are_counted_by_their_vowels(word: str, syllables: int) -> None:
    assert syllables_in(word) == syllables


def test_plain_sentences_read_more_easily_than_officialese() -> None:
    plain = word_statistics(SEA_STORY * 2)["reading_ease"]
    official = word_statistics(
        "Notwithstanding subsequent administrative determinations, applicability of aforementioned "
        "organisational responsibilities necessitates comprehensive documentation of operational "
        "considerations. Implementation of alternative methodologies precipitates institutional "
        "ramifications, necessitating interdepartmental deliberation regarding accountability. "
        "Supplementary authorisation invariably necessitates extraordinary justification."
    )["reading_ease"]

    assert plain is not None
    assert official is not None
    assert plain > 70
    assert official < 0


def test_a_table_is_not_judged_as_prose() -> None:
    assert word_statistics("latin small letter " * 100)["reading_ease"] is None


def test_keywords_are_the_commonest_words_that_mean_something() -> None:
    found = keywords(SEA_STORY)

    assert [keyword["word"] for keyword in found[:3]] == ["boat", "captain", "harbour"]
    assert found[0]["count"] == 2
    assert "the" not in {keyword["word"] for keyword in found}


def test_complexity_counts_the_ways_to_branch_of_each_function() -> None:
    found = complexity(BRANCHING)

    assert found["functions"] == 4
    assert found["worst"] == [
        {"name": "Reader.read", "line": 3, "complexity": 4},
        {"name": "main", "line": 12, "complexity": 4},
        {"name": "main.inner", "line": 13, "complexity": 2},
    ]
    assert found["mean"] == 2.75


def test_complexity_of_a_file_without_functions_is_nothing() -> None:
    assert complexity("x = 1") == {"functions": 0, "mean": 0.0, "worst": []}


def test_complexity_refuses_what_is_not_python() -> None:
    with pytest.raises(SyntaxError):
        complexity("def broken(:")


def test_texts_that_share_most_phrases_are_near_duplicates() -> None:
    story = " ".join(
        f"On day {day} the {day % 7} boats sailed past lighthouse {day * 3}." for day in range(60)
    )
    edited = story.replace("day 30", "morning thirty")
    other = " ".join(
        f"Line {line} speaks of something else, number {line * line}." for line in range(60)
    )

    found = near_duplicates({"a": story, "b": edited, "c": other})

    assert [(pair["first"], pair["second"]) for pair in found] == [("a", "b")]
    assert 0.9 < found[0]["similarity"] < 1.0


def test_identical_texts_are_wholly_alike_whatever_their_case_and_spacing() -> None:
    found = near_duplicates({"a": SEA_STORY, "b": SEA_STORY.upper().replace(" ", "\n")})

    assert found == [{"first": "a", "second": "b", "similarity": 1.0}]


def test_texts_too_short_to_compare_are_left_out() -> None:
    assert near_duplicates({"a": "one two", "b": "one two", "c": ""}) == []
