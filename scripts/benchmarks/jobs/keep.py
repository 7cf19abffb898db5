"""Keeps a stranger's server: `python -m benchmarks.jobs.keep SERVER ARGUMENTS...`.

It ends when our standard input does, and so when we die, however we die.
"""

import signal
import subprocess
import sys
import threading

STOP_SECONDS_MAX = 5


def _end(server: "subprocess.Popen[bytes]") -> None:
    sys.stdin.read()
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        server.kill()


if __name__ == "__main__":
    with subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr) as kept:
        threading.Thread(target=_end, args=(kept,), daemon=True).start()
        sys.exit(kept.wait())
