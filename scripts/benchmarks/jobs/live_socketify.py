"""uWebSockets, the C++ server below uWebSockets.js, through its Python binding: `publish()` to all.

Told `{"frame_bytes"}`, it answers `{"port"}` and serves until its standard input ends; what a
client may say: see live_floor.py. A call of Python's is made once an event; what costs, one write a
connection and tick, is all C++, as it is under Node.
"""

import json
import os
import socket
import sys
import threading
from typing import Any

from socketify import App, AppListenOptions, OpCode

from benchmarks.jobs.job import take_stdout
from benchmarks.jobs.live_wire import an_event

TOPIC = "events"
UNSENT_BYTES_MAX = 512 * 2**20
"""More than there will be: above it uWebSockets drops messages."""


def main() -> None:
    answers = take_stdout()
    told = json.loads(sys.stdin.readline())
    text = an_event(told["frame_bytes"])
    app = App()

    def push(events: int, each: int) -> None:
        count = min(events, each)
        for _ in range(count):
            app.publish(TOPIC, text, OpCode.TEXT)
        if events > count:
            app.loop.loop.call_soon(push, events - count, each)

    def heard(_: Any, message: str, __: OpCode) -> None:
        _, events, each = message.split()
        app.loop.loop.call_soon(push, int(events), int(each))

    behavior = {
        "open": lambda websocket: websocket.subscribe(TOPIC),
        "message": heard,
        "max_backpressure": UNSENT_BYTES_MAX,
        "idle_timeout": 0,
        "compression": 0,
    }
    app.ws("/*", behavior)
    port = _a_free_port()
    options = AppListenOptions(port=port, host="127.0.0.1")
    app.listen(options, lambda _: answers.write(json.dumps({"port": port}) + "\n"))
    threading.Thread(target=_end_with_input, daemon=True).start()
    app.run()


def _a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)  # its loop is not to be ended from another thread


if __name__ == "__main__":
    main()
