"""Who may do what."""

from uuid import UUID

import pytest

from application.access import (
    SCOPES,
    Foreign,
    InsufficientScope,
    Principal,
    Resource,
    authorize,
    grantable,
    has_scope,
)

ALICE, AGENT, OTHER_AGENT = UUID(int=1), UUID(int=2), UUID(int=3)
HERE, THERE = Resource(tenant="acme"), Resource(tenant="umbrella")


def holder(*scopes: str, tenant: str = "acme", agent_id: UUID | None = None) -> Principal:
    return Principal(
        account_id=ALICE,
        kind="user" if agent_id is None else "agent",
        subject="user/alice",
        tenant=tenant,
        scopes=frozenset(scopes),
        agent_id=agent_id,
    )


@pytest.mark.parametrize("scope", sorted(set(SCOPES) - {"worker"}))
def test_a_scope_allows_its_own_action_and_no_other(scope: str) -> None:
    principal = holder(scope)

    authorize(principal, scope, HERE)

    for other in set(SCOPES) - {scope} - ({"backups:admin"} if scope != "admin" else set(SCOPES)):
        with pytest.raises(InsufficientScope):
            authorize(principal, other, HERE)


@pytest.mark.parametrize("scope", sorted(set(SCOPES) - {"worker", "backups:admin"}))
def test_an_administrator_has_every_scope_but_those_two(scope: str) -> None:
    authorize(holder("admin"), scope, HERE)


def test_an_administrator_is_no_worker() -> None:
    with pytest.raises(InsufficientScope):
        authorize(holder("admin"), "worker", Resource(tenant="acme", agent_id=AGENT))


def test_only_the_operator_has_backups_by_being_administrator() -> None:
    with pytest.raises(InsufficientScope):
        authorize(holder("admin"), "backups:admin", HERE)

    authorize(holder("admin", tenant="default"), "backups:admin", Resource(tenant="default"))


@pytest.mark.parametrize("action", ["everything", "", "tasks", "TASKS:READ"])
def test_an_unknown_action_is_allowed_to_nobody(action: str) -> None:
    principal = holder("admin", action, tenant="default")

    with pytest.raises(InsufficientScope):
        authorize(principal, action, Resource(tenant="default"))


def test_another_tenants_things_do_not_exist() -> None:
    with pytest.raises(Foreign):
        authorize(holder("tasks:read", "admin"), "tasks:read", THERE)


def test_an_administrator_of_one_tenant_is_none_of_another() -> None:
    with pytest.raises(Foreign):
        authorize(holder("admin"), "admin", THERE)


def test_the_operator_administers_every_tenant_and_sees_the_tasks_of_none() -> None:
    operator = holder("admin", tenant="default")

    authorize(operator, "admin", THERE)

    with pytest.raises(Foreign):
        authorize(operator, "tasks:read", THERE)


def test_a_worker_works_as_its_own_agent_only() -> None:
    worker = holder("worker", agent_id=AGENT)

    authorize(worker, "worker", Resource(tenant="acme", agent_id=AGENT))

    with pytest.raises(Foreign):
        authorize(worker, "worker", Resource(tenant="acme", agent_id=OTHER_AGENT))


def test_a_worker_without_an_agent_works_as_nobody() -> None:
    assert not has_scope(holder("worker"), "worker")


def test_worker_is_never_given_to_users_and_backups_only_in_the_operators_tenant() -> None:
    assert grantable("default") == set(SCOPES) - {"worker"}
    assert grantable("acme") == set(SCOPES) - {"worker", "backups:admin"}
