"""Kills and refusals at every request to a real S3 server, in a process of its own."""

import io
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from botocore.awsrequest import AWSResponse

from tests.faults.archive_interruptions import Met, Scenario, in_a_process, wrong_after
from tests.faults.archive_scenarios import S3_NOTE, client_at, s3_hooks
from tests.s3_server import CREDENTIALS

S3_SCENARIOS = ("put", "replace", "delete", "continue", "expire", "sweep")
S3Fault = Literal["kill", "unanswered", "refused"]
S3_FAULTS: tuple[S3Fault, ...] = ("kill", "unanswered", "refused")
"""Killed before the request; killed when it was done, before its answer was heard; denied."""
REFUSAL = b"<Error><Code>AccessDenied</Code></Error>"
START_SECONDS = 30


class _Body(io.BytesIO):
    def stream(self) -> Iterator[bytes]:
        """As urllib3 has it."""
        yield self.read()


@contextmanager
def s3_process(wanted: bool) -> Iterator[str | None]:
    """The endpoint of a server that nothing else uses; None when it is not wanted."""
    if not wanted:
        yield None
        return
    os.environ.update(CREDENTIALS)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = str(Path(sys.executable).parent / "moto_server")
    words = [program, "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def _wait_for(port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def met_by_s3(
    scenario: Scenario, folder: Path, url: str, *, share: float, rng: random.Random
) -> Met:
    """As `met_by`, with requests for steps."""
    met = Met()
    before, whole = a_place(folder, url), a_place(folder, url)
    scenario.prepare(before)
    copy(before, whole)
    with faults_at(0, "kill", url) as counted:
        scenario.run(whole)
        met.steps = counted()
    scenario.check(whole)
    outcome = scenario.outcome(whole)
    for number in range(1, met.steps + 1):
        for fault in S3_FAULTS:
            if rng.random() < share:
                place = a_place(folder, url)
                copy(before, place)
                ended = in_a_process(lambda: _interrupted(scenario, place, number, fault, url))  # noqa: B023
                met.runs[fault] += 1
                if wrong := wrong_after(scenario, place, ended, outcome):
                    what = f"{type(scenario).__name__} on S3, {fault} at request {number}"
                    met.wrong.append(f"{what} (ended with {ended}): {wrong}")
    return met


def _interrupted(scenario: Scenario, place: Path, number: int, fault: S3Fault, url: str) -> None:
    with faults_at(number, fault, url):
        scenario.run(place)


@contextmanager
def faults_at(number: int, fault: S3Fault, url: str) -> Iterator[Callable[[], int]]:
    """At the request of this number, from 1; 0: never. Gives how many there were."""
    asked = 0

    def before(request: Any, **_: Any) -> AWSResponse | None:
        nonlocal asked
        asked += 1
        if asked != number or fault == "unanswered":
            return None
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return AWSResponse(request.url, 403, {}, _Body(REFUSAL))

    def after(**_: Any) -> None:
        if asked == number and fault == "unanswered":
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(client: Any) -> None:
        client.meta.events.register("before-send.s3", before)
        client.meta.events.register("response-received.s3", after)

    client_at.cache_clear()
    s3_hooks.append(hook)
    try:
        yield lambda: asked
    finally:
        s3_hooks.remove(hook)
        client_at.cache_clear()


def a_place(folder: Path, url: str) -> Path:
    """A bucket of its own."""
    name = f"bucket-{uuid4().hex}"
    place = folder / name
    place.mkdir(parents=True)
    (place / S3_NOTE).write_text(f"{url} {name}")
    client_at(url, os.getpid()).create_bucket(Bucket=name)
    return place


def copy(of: Path, to: Path) -> None:
    """Segments first, so that the archives are the newest."""
    url, source = (of / S3_NOTE).read_text().split()
    _, target = (to / S3_NOTE).read_text().split()
    client = client_at(url, os.getpid())
    found = client.list_objects_v2(Bucket=source).get("Contents", ())
    for key in sorted((one["Key"] for one in found), reverse=True):
        client.copy_object(Bucket=target, Key=key, CopySource={"Bucket": source, "Key": key})
