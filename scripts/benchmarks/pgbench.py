"""PostgreSQL's own pgbench: commits of single-row INSERTs a second."""

import re
import subprocess
from pathlib import Path

import psycopg

from benchmarks import ours
from benchmarks.children import ChildFailed
from benchmarks.place import Place

TABLE = """
CREATE TABLE IF NOT EXISTS committed (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL
)
"""
SCRIPT = "INSERT INTO committed (body) VALUES (repeat('x', 400));\n"
RATE = re.compile(r"^tps = ([0-9.]+) \(without initial", re.MULTILINE)
THREADS = 2


def commits_a_second(place: Place, url: str, clients: int) -> float:
    """With prepared statements, of about 400 bytes each. Raises ChildFailed."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLE)
    script = Path(place.new_folder()) / "insert.sql"
    script.write_text(SCRIPT, encoding="utf-8")
    script.parent.chmod(0o755)  # PostgreSQL's programs are not always run as who we are
    seconds = max(1, round(place.effort.seconds))
    words = [*ours.pgbench(place.folder), "--no-vacuum", "--protocol", "prepared"]
    words += ["--client", str(clients), "--jobs", str(min(clients, THREADS))]
    words += ["--time", str(seconds), "--file", str(script), url]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=60 + seconds, cwd="/"
    )
    rate = RATE.search(done.stdout)
    if done.returncode != 0 or rate is None:
        raise ChildFailed(f"pgbench: {(done.stderr or done.stdout).strip()[-200:]}")
    return float(rate[1])
