"""One streamed chat completion, tried again while the endpoint is busy."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from musterroll import _retry
from musterroll._sse import Parser, TooLong
from musterroll._worker.results import RESULT_BYTES_MAX
from musterroll.task import Task, TaskFailed
from musterroll.workers._common import (
    bounded_body,
    is_success,
    is_worth_a_retry,
    session_with,
    unreachable,
)

TRIES_MAX = 5
MESSAGE_BYTES_MAX = 1024 * 1024
# Room for the result's other members.
TEXT_BYTES_MAX = RESULT_BYTES_MAX - 4 * 1024


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the model is: `base_url` without a slash at the end."""

    base_url: str
    api_key: str | None = field(repr=False)

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    def hide_key(self, text: str) -> str:
        return text.replace(self.api_key, "***") if self.api_key else text


class Busy(Exception):
    """The endpoint refused for now. `after` is its Retry-After."""

    def __init__(self, failure: TaskFailed, after: str | None) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.after = after


@dataclass(slots=True)
class Completion:
    """What has come so far."""

    text: str = ""
    model: str | None = None
    finish_reason: str | None = None
    usage: dict[str, int] | None = None
    _bytes: int = 0

    def add(self, chunk: Any) -> str:
        """Take in one chunk, or a whole completion (from a server that does not stream); its text.

        Raises TaskFailed with `stream_broken` for an error, `output_too_large` for too much.
        """
        if not isinstance(chunk, dict):
            raise TaskFailed("stream_broken", "a chunk is not an object", retryable=True)
        if chunk.get("error"):
            message = str(chunk["error"])
            raise TaskFailed("stream_broken", message, retryable=True)
        self.model = chunk.get("model") or self.model
        if isinstance(chunk.get("usage"), dict):
            names = ("prompt_tokens", "completion_tokens", "total_tokens")
            self.usage = {name: chunk["usage"].get(name) or 0 for name in names}
        text = ""
        for choice in chunk.get("choices") or ():
            if choice.get("index", 0) != 0:
                continue
            part = choice.get("delta") or choice.get("message") or {}
            text += self._append(part.get("content") or "")
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
        return text

    def result(self, model: str) -> dict[str, Any]:
        return {
            "text": self.text,
            "model": self.model or model,
            "finish_reason": self.finish_reason,
            "usage": self.usage,
        }

    def _append(self, text: str) -> str:
        self._bytes += len(orjson.dumps(text)) - 2
        if self._bytes > TEXT_BYTES_MAX:
            raise TaskFailed("output_too_large", f"the answer has over {TEXT_BYTES_MAX} bytes")
        self.text += text
        return text


async def complete(endpoint: Endpoint, body: dict[str, Any], task: Task) -> Completion:
    """Ask until there is an answer, it is refused for good, or the tries are used up; the task's
    time limit ends it in any case. Raises TaskFailed."""
    async with session_with(endpoint.base_url, task) as session:
        attempt = 1
        while True:
            try:
                return await _ask(session, endpoint, body, task)
            except Busy as busy:
                if attempt == TRIES_MAX:
                    raise busy.failure from None
                asked = _retry.retry_after_seconds(busy.after)
                await asyncio.sleep(_retry.pause(attempt) if asked is None else asked)
                attempt += 1


async def _ask(
    session: aiohttp.ClientSession, endpoint: Endpoint, body: dict[str, Any], task: Task
) -> Completion:
    url = f"{endpoint.base_url}/chat/completions"
    try:
        async with session.post(
            url,
            data=orjson.dumps(body),
            headers={"Content-Type": "application/json", **endpoint.headers()},
            allow_redirects=False,
        ) as response:
            if not is_success(response):
                raise await _refusal(endpoint, response)
            if "text/event-stream" not in response.headers.get("content-type", ""):
                return _whole(await bounded_body(response, 2 * RESULT_BYTES_MAX), task)
            return await _streamed(response, task)
    except aiohttp.ClientConnectorError as error:
        raise Busy(unreachable(url, error), None) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise unreachable(url, error) from error


async def _streamed(response: aiohttp.ClientResponse, task: Task) -> Completion:
    completion = Completion()
    async for data in _data_of(response):
        if data == "[DONE]":
            break
        task.output(completion.add(_parsed(data)))
        if completion.text:
            # How long the answer will be is not known; the characters tell that it grows.
            task.progress(0.0, f"{len(completion.text)} characters")
    if completion.finish_reason is None:
        raise TaskFailed("stream_broken", "the answer broke off before its end", retryable=True)
    return completion


async def _data_of(response: aiohttp.ClientResponse) -> AsyncIterator[str]:
    parser = Parser(bytes_max=MESSAGE_BYTES_MAX)
    try:
        async for chunk in response.content.iter_any():
            for message in parser.feed(chunk):
                yield message.data
    except TooLong as error:
        raise TaskFailed("output_too_large", str(error)) from error
    for message in parser.rest():
        yield message.data


def _whole(body: bytes, task: Task) -> Completion:
    completion = Completion()
    task.output(completion.add(_parsed(body)))
    return completion


def _parsed(data: str | bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise TaskFailed("stream_broken", f"not JSON: {error}", retryable=True) from error


async def _refusal(endpoint: Endpoint, response: aiohttp.ClientResponse) -> Exception:
    said = (await bounded_body(response))[:1000].decode("utf-8", "replace")
    failure = TaskFailed(
        "http_status",
        endpoint.hide_key(f"the model's endpoint answered {response.status}: {said}"),
        retryable=is_worth_a_retry(response.status),
    )
    return Busy(failure, response.headers.get("retry-after")) if failure.retryable else failure
