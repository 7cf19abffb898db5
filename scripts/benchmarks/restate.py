"""Restate beside us, where its server is installed.

It comes from npm (`@restatedev/restate-server`), more than 200 MB, so nothing fetches it unasked;
the README tells how to have it.
"""

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import urllib3

from benchmarks.children import Child
from benchmarks.environment import FOLDER
from benchmarks.payload import payload
from benchmarks.place import NotMeasured, Place

PROGRAM = "restate-server"
INSTALLED = FOLDER / "restate" / "node_modules" / "@restatedev" / "restate-server-linux-x64" / "bin"
START_SECONDS_MAX = 60.0
OK = 200
CONNECTIONS = 32
STATUS_JOBS = 300
#: What it answers of an invocation that is not done.
NOT_READY = "470"
#: Taken in durably, and not begun while we measure how fast they are taken in.
SUBMIT_PATH = "/bench/handle/send?delay=1h"


def restate(place: Place, record: Callable[[str, float], None]) -> None:
    """End to end through its Python SDK; submitting and status with our own load generator, which
    costs less than any client, as our own service is measured."""
    python = place.peers_python
    with _server(place) as (ingress, admin):
        told = {
            "system": "restate",
            "url": f"http://127.0.0.1:{ingress}?admin={admin}",
            "parts": ["pickup", "tasks"],
            "effort": place.effort.as_argument(),
            "log": str(place.log),
        }
        for figure, value in place.job("drive", told, python=python).items():
            record(f"restate.{figure}", value)
        for connections in (1, CONNECTIONS):
            rate = _load(place, ingress, connections, requests="post", path=SUBMIT_PATH)
            record(f"restate.submit_{connections}", rate)
        ids = _submitted(ingress)
        paths = [f"/restate/invocation/{one}/output" for one in ids]
        asked = {"requests": "gets", "paths": paths, "also_good": [NOT_READY]}
        record("restate.status", _load(place, ingress, CONNECTIONS, **asked))


def _load(place: Place, port: int, connections: int, **told: Any) -> float:
    effort = place.effort
    seconds = {"warm_up_seconds": effort.warm_up_seconds, "seconds": effort.seconds}
    result = place.job("http_load", {"port": port, "connections": connections, **seconds, **told})
    return float(result["rate"])


def _submitted(port: int) -> list[str]:
    with urllib3.HTTPConnectionPool("127.0.0.1", port) as client:
        answers = [client.request("POST", SUBMIT_PATH, json=payload()) for _ in range(STATUS_JOBS)]
        return [str(answer.json()["invocationId"]) for answer in answers]


@contextmanager
def _server(place: Place) -> Iterator[tuple[int, int]]:
    """The ports of its ingress and of its administration; its settings are the shipped ones."""
    program = shutil.which(PROGRAM) or shutil.which(PROGRAM, path=str(INSTALLED))
    if program is None:
        raise NotMeasured("restate-server is not installed")
    ingress, admin, node = _free_ports(3)
    environment = {
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{node}",
        "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{node}",
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_NODE_NAME": "bench",
        "RESTATE_BASE_DIR": str(place.new_folder()),
        "RESTATE_DISABLE_TELEMETRY": "true",
    }
    words = [place.ours_python, "-m", "benchmarks.jobs.keep", program, "--no-logo"]
    with Child(words, log=place.log, environment=environment) as server:
        server.wait_for(lambda: _answers(ingress) and _answers(admin), START_SECONDS_MAX)
        yield ingress, admin


def _answers(port: int) -> bool:
    paths = ("/restate/health", "/health")
    try:
        found = [
            urllib3.request("GET", f"http://127.0.0.1:{port}{path}", timeout=2, retries=False)
            for path in paths
        ]
    except urllib3.exceptions.HTTPError:
        return False
    return any(answer.status == OK for answer in found)


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago; its server cannot be told to take any."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports
