"""What small results say together, and which tasks they come from."""

from pathlib import Path
from typing import Any

import pytest

from interfaces.cli.demo.files import choose_files
from interfaces.cli.demo.findings import look_alikes, most_complex, readability, top_keywords
from interfaces.cli.demo.work import files_for, jobs_for


def some_keywords(**counts: int) -> dict[str, list[dict[str, object]]]:
    return {"keywords": [{"word": word, "count": count} for word, count in counts.items()]}


def test_keywords_that_are_in_every_file_count_for_less_than_those_of_some() -> None:
    results = {
        f"{number}.py": some_keywords(licence=5, **({"socket": 5} if number < 5 else {}))
        for number in range(10)
    }
    results |= {f"{number}.txt": some_keywords(whale=50) for number in range(1)}

    assert top_keywords(results) == ["socket", "licence"]


def test_keywords_of_one_file_are_its_own() -> None:
    assert top_keywords({"a.py": some_keywords(sea=3, boat=1)}) == ["sea", "boat"]


def test_nothing_found_is_nothing_said() -> None:
    assert top_keywords({}) == []
    assert most_complex({}) == []
    assert look_alikes([]) == []
    assert readability({})["median_reading_ease"] is None


def test_the_most_complex_functions_of_all_files_come_first() -> None:
    def worst(name: str, complexity: int) -> dict[str, object]:
        return {"worst": [{"name": name, "line": 7, "complexity": complexity}]}

    found = most_complex({"a.py": worst("calm", 2), "b.py": worst("wild", 40)})

    assert [(f["file"], f["name"], f["complexity"]) for f in found] == [
        ("b.py", "wild", 40),
        ("a.py", "calm", 2),
    ]


def test_readability_names_the_extremes_among_files_with_enough_prose() -> None:
    results: dict[str, dict[str, Any]] = {
        "easy": {"words": 200, "reading_ease": 90.0},
        "middling": {"words": 200, "reading_ease": 50.0},
        "hard": {"words": 200, "reading_ease": 10.0},
        "short": {"words": 50, "reading_ease": 120.0},
        "table": {"words": 500, "reading_ease": None},
    }

    found = readability(results)

    assert found["median_reading_ease"] == 50.0
    assert [ease["file"] for ease in found["easiest"]] == ["easy"]
    assert [ease["file"] for ease in found["hardest"]] == ["hard"]
    assert found["words"] == 1150


def test_pairs_that_share_a_file_become_one_group() -> None:
    def pair(first: str, second: str, similarity: float) -> dict[str, object]:
        return {"first": first, "second": second, "similarity": similarity}

    batches = [
        {"pairs": [pair("a", "b", 0.6), pair("x", "y", 0.9)]},
        {"pairs": [pair("b", "c", 0.8), pair("a", "b", 0.6)]},
    ]

    assert look_alikes(batches) == [  # type: ignore[arg-type]
        {"files": ["x", "y"], "similarity_max": 0.9},
        {"files": ["a", "b", "c"], "similarity_max": 0.8},
    ]


@pytest.mark.parametrize("count", [1, 2, 30, 100])
def test_every_two_files_are_compared_in_some_task(tmp_path: Path, count: int) -> None:
    for number in range(count):
        (tmp_path / f"{number:03}.txt").write_text("words")

    jobs = jobs_for(choose_files(tmp_path, count), with_summaries=False)

    groups = [set(job.task["input"]["paths"]) for job in jobs if job.kind == "look-alikes"]
    files = [str(path) for path in sorted(tmp_path.iterdir())]
    apart = [(a, b) for a in files for b in files if a < b and not any({a, b} <= g for g in groups)]
    assert apart == []


def test_only_python_is_measured_and_every_file_is_read_for_words(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    (tmp_path / "b.md").write_text("words")

    jobs = jobs_for(choose_files(tmp_path, 10), with_summaries=False)

    by_kind = {
        kind: {job.file for job in jobs if job.kind == kind} for kind in ("words", "complexity")
    }
    assert by_kind == {"words": {"a.py", "b.md"}, "complexity": {"a.py"}}


def test_the_number_of_tasks_is_about_what_was_asked_for(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number:03}.py").write_text("x = 1")

    jobs = jobs_for(choose_files(tmp_path, files_for(360)), with_summaries=False)

    assert 350 <= len(jobs) <= 360


def test_summaries_are_asked_for_only_when_there_is_a_model(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    selection = choose_files(tmp_path, 10)

    kinds = {job.kind for job in jobs_for(selection, with_summaries=True)}

    assert "summary" in kinds
    assert "summary" not in {job.kind for job in jobs_for(selection, with_summaries=False)}
