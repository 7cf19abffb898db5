import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from musterroll._connection import Credentials, resolve
from musterroll.errors import Invalid, Unauthorized, Unavailable

NOBODY = Credentials()
URL = "http://127.0.0.1:8000"


def a_service(folder: Path, **changes: Any) -> dict[str, str]:
    """A running local service's files, and the environment that leads to them."""
    service = {
        "url": URL,
        "username": "admin",
        "password_file": str(folder / "admin-password"),
        "pid": os.getpid(),
        **changes,
    }
    (folder / "service.json").write_bytes(orjson.dumps(service))
    (folder / "admin-password").write_text("hunter2\n")
    return {"MUSTERROLL_DATA_DIR": str(folder)}


def a_dead_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


def test_arguments_come_before_the_environment() -> None:
    environment = {
        "MUSTERROLL_URL": "http://env:1",
        "MUSTERROLL_CLIENT_ID": "env",
        "MUSTERROLL_CLIENT_SECRET": "s",
    }

    found = resolve("http://given:2/", Credentials(client_id="given"), environment)

    assert (found.url, found.credentials.client_id) == ("http://given:2", "given")


def test_the_environment_names_a_program_before_a_person_before_a_token() -> None:
    token = {"MUSTERROLL_URL": URL, "MUSTERROLL_TOKEN": "t"}
    person = {**token, "MUSTERROLL_USERNAME": "ann", "MUSTERROLL_PASSWORD": "p"}
    program = {**person, "MUSTERROLL_CLIENT_ID": "c", "MUSTERROLL_CLIENT_SECRET": "s"}

    assert resolve(None, NOBODY, token).credentials == Credentials(token="t")
    assert resolve(None, NOBODY, person).credentials.username == "ann"
    assert resolve(None, NOBODY, program).credentials.client_id == "c"


def test_the_local_service_is_found_with_its_password(tmp_path: Path) -> None:
    found = resolve(None, NOBODY, a_service(tmp_path))

    assert found.url == URL
    assert found.credentials == Credentials(username="admin", password="hunter2")


def test_a_password_file_may_be_named_beside_service_json(tmp_path: Path) -> None:
    found = resolve(None, NOBODY, a_service(tmp_path, password_file="admin-password"))

    assert found.credentials.password == "hunter2"


def test_the_local_password_is_given_to_the_local_service_only(tmp_path: Path) -> None:
    environment = a_service(tmp_path)

    local = resolve("http://localhost:8000", NOBODY, environment)
    other = resolve("http://127.0.0.1:9000", NOBODY, environment)

    assert local.credentials.password == "hunter2"
    assert not other.credentials
    with pytest.raises(Unauthorized, match=r"no credentials for http://127.0.0.1:9000"):
        other.credentials.form(other.url)


def test_a_service_without_a_password_file_takes_the_password_of_the_environment(
    tmp_path: Path,
) -> None:
    environment = a_service(tmp_path, password_file=None)

    with pytest.raises(Unauthorized, match="MUSTERROLL_ADMIN_PASSWORD"):
        resolve(None, NOBODY, environment)
    found = resolve(None, NOBODY, {**environment, "MUSTERROLL_ADMIN_PASSWORD": "pw"})

    assert found.credentials.password == "pw"


def test_no_service_at_all_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="start one with `muster up`") as caught:
        resolve(None, NOBODY, {"MUSTERROLL_DATA_DIR": str(tmp_path)})

    assert caught.value.code == "service_not_found"


def test_a_service_that_died_is_not_running(tmp_path: Path) -> None:
    environment = a_service(tmp_path, pid=a_dead_process())

    with pytest.raises(Unavailable, match=r"is not running.*`muster up`") as caught:
        resolve(None, NOBODY, environment)

    assert caught.value.code == "service_not_running"


def test_the_data_folder_follows_xdg(tmp_path: Path) -> None:
    (tmp_path / "musterroll").mkdir()
    a_service(tmp_path / "musterroll")

    assert resolve(None, NOBODY, {"XDG_DATA_HOME": str(tmp_path)}).url == URL


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://"])
def test_an_address_must_be_one_of_http(url: str) -> None:
    with pytest.raises(Invalid, match="http://host:port"):
        resolve(url, Credentials(token="t"), {})


def test_half_a_pair_of_credentials_is_refused() -> None:
    with pytest.raises(Unauthorized, match="client_secret is missing beside client_id"):
        Credentials(client_id="c").form(URL)
    with pytest.raises(Unauthorized, match="password is missing beside username"):
        Credentials(username="u").form(URL)


def test_no_secret_shows_in_a_representation() -> None:
    shown = repr(Credentials(client_secret="s3", password="s3", token="s3"))

    assert "s3" not in shown
