"""A worker that asks a language model behind an OpenAI-compatible endpoint."""

import os
from collections.abc import Mapping
from typing import Any, Unpack

import orjson

from musterroll.task import Task, TaskFailed
from musterroll.worker import Worker
from musterroll.workers._common import WorkerOptions, checked_url
from musterroll.workers._completion import Endpoint, complete

OPENAI_URL = "https://api.openai.com/v1"


def openai_worker(
    url: str | None = None,
    *,
    name: str,
    kind: str,
    model: str,
    base_url: str = OPENAI_URL,
    api_key: str | None = None,
    system: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    **options: Unpack[WorkerOptions],
) -> Worker:
    """A worker that does each task of a kind by one chat completion, streamed.

    The input is `{"prompt", "system"}` (the second may be left out), a plain text, or
    `{"messages": [...]}`; `system` stands in where the input brings none, and the task's lessons
    are added to it. What the model says is the task's output, as it comes; the result is `{"text",
    "model", "finish_reason", "usage"}`. `api_key` is taken from OPENAI_API_KEY when not given.
    `parameters` go into the request; a value of None takes a field out. 429 and 5xx are tried again
    within the time limit.

    Attempts fail with `invalid_input`, `http_status` (429 and 5xx retryable), `unreachable` and
    `stream_broken` (retryable), or `output_too_large`. Raises ValueError for a base_url that is no
    address.
    """
    base_url = checked_url(base_url)
    worker = Worker(url, name=name, **options)

    async def answer(task: Task) -> dict[str, Any]:
        endpoint = Endpoint(base_url, api_key or os.environ.get("OPENAI_API_KEY"))
        request = _request(model, messages(task, system), parameters or {})
        completion = await complete(endpoint, request, task)
        return completion.result(model)

    worker.task(kind)(answer)
    return worker


def messages(task: Task, system: str | None) -> list[Any]:
    """The conversation that a task asks for, its lessons in the system prompt.

    Raises TaskFailed with `invalid_input`.
    """
    found = {"prompt": task.input} if isinstance(task.input, str) else task.input
    if not isinstance(found, dict):
        raise TaskFailed("invalid_input", 'the input is not {"prompt"} or {"messages"}')
    if isinstance(found.get("messages"), list):
        conversation = list(found["messages"])
        first = conversation[0] if conversation else None
        if isinstance(first, dict) and first.get("role") == "system":
            system = str(first.get("content") or "")
            del conversation[0]
    elif isinstance(found.get("prompt"), str):
        conversation = [{"role": "user", "content": found["prompt"]}]
        system = found.get("system") or system
    else:
        raise TaskFailed("invalid_input", 'the input holds neither "prompt" nor "messages"')
    said = "\n\n".join(part for part in (system, _lessons(task)) if part)
    return [{"role": "system", "content": said}, *conversation] if said else conversation


def _request(model: str, said: list[Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    request = {
        "model": model,
        "messages": said,
        "stream": True,
        "stream_options": {"include_usage": True},
        **parameters,
    }
    if not request["stream"]:
        del request["stream_options"]
    return {name: value for name, value in request.items() if value is not None}


def _lessons(task: Task) -> str | None:
    if not task.lessons:
        return None
    lines = [f"- {_sentence(lesson)}" for lesson in task.lessons]
    return "\n".join(["What was learned from tasks like this one:", *lines])


def _sentence(lesson: Any) -> str:
    if isinstance(lesson, str):
        return lesson
    if isinstance(lesson, dict) and isinstance(lesson.get("improvement"), str):
        pattern = lesson.get("pattern")
        return f"{pattern}: {lesson['improvement']}" if pattern else str(lesson["improvement"])
    return orjson.dumps(lesson).decode()
