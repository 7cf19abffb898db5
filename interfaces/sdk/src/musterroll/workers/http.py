"""A worker that hands each task to a webhook."""

from collections.abc import Mapping
from typing import Any, Unpack

import aiohttp
import orjson

from musterroll.task import Task, TaskFailed
from musterroll.worker import Worker
from musterroll.workers._common import (
    WorkerOptions,
    bounded_body,
    checked_url,
    is_success,
    is_worth_a_retry,
    parsed_output,
    session_with,
    unreachable,
)

SHOWN_CHARACTERS = 500


def http_worker(
    url: str | None = None,
    *,
    name: str,
    kind: str,
    endpoint: str,
    headers: Mapping[str, str] | None = None,
    **options: Unpack[WorkerOptions],
) -> Worker:
    """A worker that does each task of a kind by a POST to `endpoint`.

    The body is `{"task_id", "attempt", "kind", "input", "labels", "lessons", "timeout_seconds"}`; a
    2xx answer's JSON, at most 256 KiB, is the result. The answer may take as long as the task.
    Attempts fail with `http_status` (5xx, 408, 425 and 429 retryable, other 3xx and 4xx for good),
    `unreachable` (retryable), `invalid_output` or `output_too_large`.
    Raises ValueError for an endpoint that is no http or https address.
    """
    checked_url(endpoint)
    worker = Worker(url, name=name, **options)

    async def post(task: Task) -> Any:
        sent = {"Accept": "application/json", **(headers or {}), "Content-Type": "application/json"}
        async with session_with(endpoint, task) as session:
            try:
                async with session.post(
                    endpoint, data=_body(task), headers=sent, allow_redirects=False
                ) as response:
                    return _result(response, await bounded_body(response))
            except (aiohttp.ClientError, TimeoutError) as error:
                raise unreachable(endpoint, error) from error

    worker.task(kind)(post)
    return worker


def _body(task: Task) -> bytes:
    return orjson.dumps(
        {
            "task_id": task.id,
            "attempt": task.attempt,
            "kind": task.kind,
            "input": task.input,
            "labels": dict(task.labels),
            "lessons": list(task.lessons),
            "timeout_seconds": task.timeout_seconds,
        }
    )


def _result(response: aiohttp.ClientResponse, body: bytes) -> Any:
    if is_success(response):
        return parsed_output(body)
    shown = body[:SHOWN_CHARACTERS].decode("utf-8", "replace")
    raise TaskFailed(
        "http_status",
        f"the webhook answered {response.status}: {shown}",
        retryable=is_worth_a_retry(response.status),
    )
