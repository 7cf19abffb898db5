"""Our log folded into read models, in one process: told `{"owner", "application"}`, it answers
`{figure: events a second}`, for all models side by side and for each alone."""

from typing import Any

from benchmarks import ours
from benchmarks.jobs.job import answer


def measure(told: dict[str, Any]) -> dict[str, float]:
    """Each beside the live model, which stays as it is."""
    urls = ours.Urls(told["owner"], told["application"])
    ours.replay(urls, list(ours.MODELS))
    figures = {}
    for figure, names in [("all", list(ours.MODELS)), *((name, [name]) for name in ours.MODELS)]:
        events, seconds = ours.replay(urls, names)
        figures[f"replay_{figure}"] = events / seconds
    return figures


if __name__ == "__main__":
    answer(measure)
