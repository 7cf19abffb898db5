"""Makes the checkout's own environment in `.venv`, from nothing but python3 and pip.

Standard library only. The steps: uv, brought in with pip below `.tools` (a bare Debian can make no
environment by itself and lets pip install nowhere else); an environment; the locked packages, each
checked against its hash; this checkout and its SDK, editable.

A finished environment carries a stamp of everything it was made from, so that a later call sees in
milliseconds that there is nothing to do. An unfinished one carries a mark, and is made again.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
TOOLS = ROOT / ".tools"
LOCKS = ROOT / "scripts" / "locks"
STAMP = VENV / "musterroll-made-from.json"
UNFINISHED = VENV / "musterroll-unfinished"
PYTHON = VENV / "bin" / "python"
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
OLDEST_PYTHON = (3, 11)
#: What can be installed, each including what stands before it.
LEVELS = ("run", "test")


def ensure(level: str) -> None:
    """Return when `.venv` holds what level needs; exits with one line when that cannot be."""
    if sys.version_info < OLDEST_PYTHON:
        found = ".".join(map(str, sys.version_info[:2]))
        _exit(f"Python 3.11 or newer is needed, this is {found}: apt-get install -y python3.11")
    if _is_made(level):
        return
    try:
        with _alone():
            if not _is_made(level):
                _make(level)
    except OSError as error:
        _exit(f"setup cannot write here: {error}")


def _is_made(level: str) -> bool:
    made = _stamp()
    return (
        made.get("fingerprint") == _fingerprint()
        and level in LEVELS[: LEVELS.index(made["level"]) + 1]
        and _is_in_place(made)
        and not UNFINISHED.exists()
    )


def _stamp() -> dict[str, str]:
    try:
        stamp: dict[str, str] = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp


def _is_in_place(made: dict[str, str]) -> bool:
    """Whether neither the checkout was moved nor the Python below the environment replaced."""
    return made.get("root") == str(ROOT) and made.get("python") == str(PYTHON.resolve())


def _fingerprint() -> str:
    """Changes when anything that is installed changes; the settings of other tools do not count."""
    import tomllib  # noqa: PLC0415  (an older Python has to get as far as being told so)

    digest = hashlib.sha256()
    for source in (Path(__file__), *(LOCKS / f"{level}.txt" for level in LEVELS)):
        digest.update(source.read_bytes())
    for project in (ROOT, ROOT / "interfaces" / "sdk"):
        described = tomllib.loads((project / "pyproject.toml").read_text())
        packages = described["tool"]["setuptools"]
        what = [described["build-system"], described["project"], packages]
        digest.update(json.dumps(what, sort_keys=True).encode())
    return digest.hexdigest()


def _make(level: str) -> None:
    uv = [str(bring_uv())]
    made = _stamp()
    level = max(level, made.get("level", level), key=LEVELS.index)
    if UNFINISHED.exists() or (made and not _is_in_place(made)) or not _is_environment():
        made = {}
        _say("making .venv")
        _discard_environment()
        python = getattr(sys, "_base_executable", sys.executable)
        _run([*uv, "venv", "--quiet", "--no-python-downloads", "--python", python, str(VENV)])
    UNFINISHED.touch()
    _say(f"installing the locked packages ({level})")
    # To add packages to a current environment, install: sync would first remove the checkout, under
    # a service that may be running from it.
    current = made.get("fingerprint") == _fingerprint()
    install = ["install", "--no-deps", "-r"] if current else ["sync"]
    lock = LOCKS / f"{level}.txt"
    into = ["--python", str(PYTHON), *([] if sys.stderr.isatty() else ["--quiet"])]
    _run([*uv, "pip", *install, str(lock), "--require-hashes", "--no-build", *into])
    if not current:
        # The build back end is in the lock, so nothing is fetched for this step. A path file in
        # the place of setuptools' import hooks: type checkers can follow it.
        here = ["-e", str(ROOT), "-e", str(ROOT / "interfaces" / "sdk")]
        alone = ["--no-deps", "--no-build-isolation", "-C", "editable_mode=compat"]
        _run([*uv, "pip", "install", *alone, *into, *here])
    place = {"root": str(ROOT), "python": str(PYTHON.resolve())}
    _write_stamp({"fingerprint": _fingerprint(), "level": level, **place})
    UNFINISHED.unlink()


def _is_environment() -> bool:
    return _runs(PYTHON, "-c", f"import sys; sys.exit(sys.prefix != {str(VENV)!r})")


def _discard_environment() -> None:
    """Take .venv away in one step: a half-removed one would look like a damaged one."""
    discarded = TOOLS / "discarded"
    shutil.rmtree(discarded, ignore_errors=True)
    if VENV.exists():
        VENV.rename(discarded)
        shutil.rmtree(discarded, ignore_errors=True)


def _write_stamp(stamp: dict[str, str]) -> None:
    new = STAMP.with_suffix(".new")
    new.write_text(json.dumps(stamp))
    new.replace(STAMP)


def bring_uv() -> Path:
    """The locked uv below `.tools`; fetched with pip, hash checked, when it is not there yet."""
    lock = LOCKS / "uv.txt"
    version = lock.read_text().split("==", 1)[1].split()[0]
    folder = TOOLS / f"uv-{version}"
    uv = folder / "bin" / "uv"
    if _runs(uv, "--version"):
        return uv
    if importlib.util.find_spec("pip") is None:
        _exit("pip is missing: apt-get install -y python3-pip")
    _say(f"fetching uv {version}")
    new = TOOLS / f"uv-{version}.new"
    for old in (new, folder):
        shutil.rmtree(old, ignore_errors=True)
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    options += ["--only-binary", ":all:", "--target", str(new), "-r", str(lock)]
    # A user's wish to install for himself or only into environments is not about this folder.
    wishes = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_ROOT_USER_ACTION": "ignore"}
    _run([sys.executable, "-m", "pip", "install", *options], {**os.environ, **wishes})
    new.rename(folder)
    return uv


@cache
def uv_environment() -> dict[str, str]:
    """What uv should know. It reads none of pip's settings, so the ones that matter are handed on:
    where packages come from, and which certificates to trust (the system's, as Debian's pip does).
    """
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    pip = _pip_settings()
    if not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & environment.keys() and "index-url" in pip:
        environment["UV_DEFAULT_INDEX"] = pip["index-url"]
    certificates = pip.get("cert", str(SYSTEM_CERTIFICATES))
    if Path(certificates).exists():
        environment.setdefault("SSL_CERT_FILE", certificates)
    if not os.access(os.environ.get("HOME", ""), os.W_OK):
        environment.setdefault("UV_CACHE_DIR", str(TOOLS / "cache"))
    return environment


def _pip_settings() -> dict[str, str]:
    """What pip is told, by name, from its variables and its files; none where there is no pip."""
    words = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    settings: dict[str, str] = {}
    # A line reads section.name='value'. Those of the environment come first, and count most.
    for section, value in (line.split("=", 1) for line in listed.splitlines() if "=" in line):
        settings.setdefault(section.rpartition(".")[2], value.strip("'"))
    return settings


@contextmanager
def _alone() -> Iterator[None]:
    """One set-up at a time; a second one waits, and then finds everything done."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another set-up of this checkout")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _runs(program: Path, *arguments: str) -> bool:
    try:
        return (
            subprocess.run([str(program), *arguments], capture_output=True, check=False).returncode
            == 0
        )
    except OSError:
        return False


def _run(words: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(words, env=environment or uv_environment(), cwd=ROOT, check=False)
    if done.returncode != 0:
        step = "pip" if "-m" in words[:2] else " ".join(["uv", *words[1:3]])
        _exit(f"{step} failed, see above; PIP_INDEX_URL names a package index other than PyPI")


def _say(what: str) -> None:
    print(f"musterroll: {what}", file=sys.stderr, flush=True)


def _exit(why: str) -> NoReturn:
    sys.exit(f"musterroll: {why}")
