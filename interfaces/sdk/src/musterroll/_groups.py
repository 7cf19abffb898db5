"""The calls of the two clients, in groups: `client.tasks.submit`, `client.agents.list`, ..."""

from typing import TypeVar

from musterroll._calls import Awaiting, Blocking, awaited, blocking, listed, listed_async
from musterroll._request import Plan
from musterroll._routes import access, agents, audit, backups, past, reasons, subjects, tasks

T = TypeVar("T")


class _Group:
    def __init__(self, client: Blocking) -> None:
        self._client = client

    def _run(self, plan: Plan[T]) -> T:
        return self._client._run(plan)


class _AsyncGroup:
    def __init__(self, client: Awaiting) -> None:
        self._client = client

    async def _run(self, plan: Plan[T]) -> T:
        return await self._client._run(plan)


class Tasks(_Group):
    """`client.tasks`"""

    submit = blocking(tasks.submit)
    submit_many = blocking(tasks.submit_many)
    status = blocking(tasks.status)
    wait = blocking(tasks.wait)
    get = blocking(tasks.get)
    history = listed(past.task_history)
    diff = blocking(past.task_diff)
    why = blocking(reasons.why)
    list = listed(tasks.list_)
    counts = blocking(tasks.counts)
    cancel = blocking(tasks.cancel)
    approve = blocking(tasks.approve)
    reject = blocking(tasks.reject)
    retry = blocking(tasks.retry)
    retry_many = blocking(tasks.retry_many)


class AsyncTasks(_AsyncGroup):
    """`client.tasks` of the async client"""

    submit = awaited(tasks.submit)
    submit_many = awaited(tasks.submit_many)
    status = awaited(tasks.status)
    wait = awaited(tasks.wait)
    get = awaited(tasks.get)
    history = listed_async(past.task_history)
    diff = awaited(past.task_diff)
    why = awaited(reasons.why)
    list = listed_async(tasks.list_)
    counts = awaited(tasks.counts)
    cancel = awaited(tasks.cancel)
    approve = awaited(tasks.approve)
    reject = awaited(tasks.reject)
    retry = awaited(tasks.retry)
    retry_many = awaited(tasks.retry_many)


class Agents(_Group):
    """`client.agents`"""

    register = blocking(agents.register)
    list = listed(agents.list_)
    get = blocking(agents.get)
    history = listed(past.agent_history)
    diff = blocking(past.agent_diff)
    change = blocking(agents.change)
    drain = blocking(agents.drain)
    resume = blocking(agents.resume)
    retire = blocking(agents.retire)
    rotate_secret = blocking(agents.rotate_secret)


class AsyncAgents(_AsyncGroup):
    """`client.agents` of the async client"""

    register = awaited(agents.register)
    list = listed_async(agents.list_)
    get = awaited(agents.get)
    history = listed_async(past.agent_history)
    diff = awaited(past.agent_diff)
    change = awaited(agents.change)
    drain = awaited(agents.drain)
    resume = awaited(agents.resume)
    retire = awaited(agents.retire)
    rotate_secret = awaited(agents.rotate_secret)


class Users(_Group):
    """`client.users`"""

    create = blocking(access.create_user)
    list = listed(access.list_users)
    rotate_password = blocking(access.rotate_password)
    delete = blocking(access.delete_user)


class AsyncUsers(_AsyncGroup):
    """`client.users` of the async client"""

    create = awaited(access.create_user)
    list = listed_async(access.list_users)
    rotate_password = awaited(access.rotate_password)
    delete = awaited(access.delete_user)


class Clients(_Group):
    """`client.clients`"""

    create = blocking(access.create_client)
    list = listed(access.list_clients)
    rotate_secret = blocking(access.rotate_client_secret)
    delete = blocking(access.delete_client)


class AsyncClients(_AsyncGroup):
    """`client.clients` of the async client"""

    create = awaited(access.create_client)
    list = listed_async(access.list_clients)
    rotate_secret = awaited(access.rotate_client_secret)
    delete = awaited(access.delete_client)


class Subjects(_Group):
    """`client.subjects`"""

    get = blocking(subjects.get)
    erase = blocking(subjects.erase)


class AsyncSubjects(_AsyncGroup):
    """`client.subjects` of the async client"""

    get = awaited(subjects.get)
    erase = awaited(subjects.erase)


class Audit(_Group):
    """`client.audit`"""

    heads = listed(audit.heads)
    keys = blocking(audit.keys)
    prove = blocking(audit.prove)
    prove_growth = blocking(audit.prove_growth)
    trail = listed(audit.trail)


class AsyncAudit(_AsyncGroup):
    """`client.audit` of the async client"""

    heads = listed_async(audit.heads)
    keys = awaited(audit.keys)
    prove = awaited(audit.prove)
    prove_growth = awaited(audit.prove_growth)
    trail = listed_async(audit.trail)


class Backups(_Group):
    """`client.backups`"""

    create = blocking(backups.create)
    list = listed(backups.list_)
    get = blocking(backups.get)
    wait = blocking(backups.wait)
    verify = blocking(backups.verify)
    drill = blocking(backups.drill)
    plan_restore = blocking(backups.plan_restore)
    restore = blocking(backups.restore)
    undo_restore = blocking(backups.undo_restore)
    expire = blocking(backups.expire)
    job = blocking(backups.job)
    wait_job = blocking(backups.wait_job)


class AsyncBackups(_AsyncGroup):
    """`client.backups` of the async client"""

    create = awaited(backups.create)
    list = listed_async(backups.list_)
    get = awaited(backups.get)
    wait = awaited(backups.wait)
    verify = awaited(backups.verify)
    drill = awaited(backups.drill)
    plan_restore = awaited(backups.plan_restore)
    restore = awaited(backups.restore)
    undo_restore = awaited(backups.undo_restore)
    expire = awaited(backups.expire)
    job = awaited(backups.job)
    wait_job = awaited(backups.wait_job)
