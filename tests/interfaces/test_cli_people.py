"""`muster agent`, `user`, `client` and `token` against a real service."""

from pathlib import Path

import pytest

from tests.interfaces.muster import Muster
from tests.interfaces.service import Service


@pytest.fixture
def muster(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Muster:
    return Muster(service, monkeypatch, capsys)


def test_an_agent_is_registered_changed_drained_and_retired_by_its_name(muster: Muster) -> None:
    made = muster.done("agent", "register", "bob", "--capability", "review", "--json").json
    assert made["client_secret"]

    muster.done("agent", "change", "bob", "--slots", "3", "--label", "team=core")
    muster.done("agent", "drain", "bob")
    draining = muster.done("agent", "get", "bob", "--json").json
    muster.done("agent", "resume", made["agent_id"])
    muster.done("agent", "retire", "bob")

    assert draining["slots"] == 3
    assert draining["labels"] == {"team": "core"}
    assert draining["state"] == "draining"
    [row] = muster.done("agent", "list", "--json").rows
    assert (row["id"], row["state"]) == (made["agent_id"], "retired")


def test_the_roster_shows_each_agent_on_a_line(muster: Muster) -> None:
    muster.done("agent", "register", "bob", "--capability", "review", "--slots", "2")

    heading, row = muster.done("agent", "list").out.splitlines()

    assert heading.split()[:3] == ["AGENT", "STATE", "BUSY"]
    assert row.split()[0] == "bob"
    assert "0/2" in row


def test_a_registration_shows_the_secret_and_a_rotation_replaces_it(
    muster: Muster, service: Service
) -> None:
    shown = muster.done("agent", "register", "bob", "--capability", "review").out
    first = dict(line.split("  ", 1) for line in shown.splitlines())
    made = muster.done("agent", "rotate", "bob", "--json").json

    client_id = first["client id"].strip()
    assert made["client_id"] == client_id
    with service.machine(client_id, made["client_secret"]) as agent:
        assert agent.get(f"/v1/agents/{first['agent'].strip()}").status_code in {200, 403}
    former = ("--client-id", client_id, "--client-secret", first["client secret"].strip())
    assert muster("agent", "list", *former).code == 4


def test_a_name_that_is_taken_is_refused(muster: Muster) -> None:
    muster.done("agent", "register", "bob", "--capability", "review")

    said = muster("agent", "register", "bob", "--capability", "review")

    assert said.code == 1
    assert "bob" in said.err


def test_an_agent_that_is_not_there_is_not_found(muster: Muster) -> None:
    for command in ("get", "drain", "retire", "rotate"):
        assert muster("agent", command, "nobody").code == 5


def test_a_person_is_added_signs_in_gets_a_new_password_and_is_removed(
    muster: Muster, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("hunter2hunter2\n")
    made = muster.done("user", "add", "ann", "--scope", "tasks:read tasks:write", "--json").json
    ann = ("--username", "ann", "--password")

    assert muster.done("task", "counts", *ann, made["password"])
    muster.done("user", "rotate", made["user_id"], "--password-file", str(tmp_path / "password"))
    assert muster("task", "counts", *ann, made["password"]).code == 4
    assert muster.done("task", "counts", *ann, "hunter2hunter2")
    assert muster("user", "list", *ann, "hunter2hunter2").code == 4
    names = {row["username"] for row in muster.done("user", "list", "--json").rows}
    assert names == {"admin", "ann"}
    muster.done("user", "remove", made["user_id"])
    assert muster("task", "counts", *ann, "hunter2hunter2").code == 4
    assert muster("user", "remove", made["user_id"]).code == 5


def test_a_program_is_added_signs_in_gets_a_new_secret_and_is_removed(muster: Muster) -> None:
    made = muster.done("client", "add", "ci", "--scope", "tasks:write", "--json").json
    program = ("--client-id", made["client_id"], "--client-secret")

    muster.done("task", "submit", "x", *program, made["client_secret"])
    again = muster.done("client", "rotate", made["client_id"], "--json").json
    assert muster("task", "submit", "x", *program, made["client_secret"]).code == 4
    muster.done("task", "submit", "x", *program, again["client_secret"])
    assert "ci" in muster.done("client", "list").out
    muster.done("client", "remove", made["client_id"])
    assert muster("task", "submit", "x", *program, again["client_secret"]).code == 4


def test_secrets_are_shown_to_people_once(muster: Muster) -> None:
    user = muster.done("user", "add", "ann", "--scope", "tasks:read").out
    client = muster.done("client", "add", "ci", "--scope", "tasks:read").out

    assert "password" in user
    assert "client secret" in client
    assert "password" not in muster.done("user", "list").out
    assert "secret" not in muster.done("client", "list").out


def test_a_token_opens_the_api_and_no_more_than_was_asked_for(
    muster: Muster, service: Service
) -> None:
    whole = muster.done("token").out.strip()
    narrow = muster.done("token", "--scope", "tasks:read", "--json").json

    assert muster.done("agent", "list", "--token", whole)
    assert narrow["token_type"] == "Bearer"
    assert narrow["scope"] == "tasks:read"
    assert muster.done("task", "list", "--token", narrow["access_token"])
    assert muster("agent", "list", "--token", narrow["access_token"]).code == 4


def test_a_scope_that_one_does_not_have_is_refused(muster: Muster) -> None:
    assert muster("token", "--scope", "nonsense").code != 0


def test_the_doctor_finds_a_running_service_healthy(muster: Muster) -> None:
    said = muster("doctor", "--json")

    levels = {row["subject"]: row["level"] for row in said.rows}
    assert said.code == 0, said.out
    assert levels["service"] == levels["database"] == levels["sign-in"] == "ok"


def test_the_doctor_says_what_to_do_about_wrong_credentials(muster: Muster) -> None:
    said = muster("doctor", "--username", "admin", "--password", "wrong")

    assert said.code == 1
    assert "fail  sign-in" in said.out
    assert "-> give --username" in said.out
