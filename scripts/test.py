"""Run every test: `python3 scripts/test.py [--quick] [arguments of pytest]`, from anywhere.

Sets up first where that is needed. `--quick` leaves out what takes long: whole systems in processes
of their own, faults, the command line, and what is thrown at the API by the thousand. Exits with
pytest's code.
"""

import os
import sys

from _bootstrap import PYTHON, ROOT, ensure

#: Measured on two cores: four processes gain nothing.
PROCESSES = 2
SLOW = (
    "tests/system",
    "tests/faults",
    "tests/application/test_webhooks_deliveries.py",
    "tests/application/test_whatif.py",
    "tests/infrastructure/test_archive_s3.py",
    "tests/infrastructure/test_embedded_postgres.py",
    "tests/infrastructure/test_migrations.py",
    # Of backups test_http_backups stays, of restores test_restore_points.
    "tests/interfaces/test_backup_keeper.py",
    "tests/interfaces/test_expire_job.py",
    "tests/interfaces/test_restore_[cekmsu]*.py",
    "tests/interfaces/test_restores.py",
    "tests/interfaces/test_cli_*.py",
    "tests/interfaces/test_http_attacks.py",
    "tests/interfaces/test_http_imports*.py",
    "tests/interfaces/test_http_nodes.py",
    "tests/interfaces/test_http_output.py",
    "tests/interfaces/test_http_protocol.py",
    "tests/interfaces/test_http_replays.py",
    "tests/interfaces/test_http_schemathesis.py",
    "tests/interfaces/test_http_server.py",
    "tests/interfaces/test_http_webhooks_unreadable.py",
    "tests/interfaces/test_live_attacks.py",
    "tests/interfaces/test_live_protocol.py",
    "tests/interfaces/test_live_sessions.py",
)

if __name__ == "__main__":
    ensure("test")
    os.chdir(ROOT)
    python = str(PYTHON)
    arguments = [one for one in sys.argv[1:] if one != "--quick"]
    if len(arguments) < len(sys.argv) - 1:
        arguments += [f"--ignore-glob={path}" for path in SLOW]
    os.execv(python, [python, "-m", "pytest", "-n", str(PROCESSES), *arguments])
