"""Seals what is personal, on its way into the log. Nothing here waits: the writer loads the keys
before it decides."""

from typing import Any, Protocol
from uuid import UUID

import orjson

from application.erasure.errors import SubjectErased, SubjectLocked
from application.erasure.keyring import Keyring
from application.erasure.ports import Cipher, SubjectVault
from application.erasure.sealed import ERASED, INPUT, RESULT, TEXT, Place, Sealed
from domain.task import Task


class Sealing(Protocol):
    """What handlers do with values that may be personal. Of a task without a subject everything
    stays as it is; nothing stays nothing."""

    def input(self, subject_id: UUID, task_id: UUID, value: Any) -> Any:
        """What a task is submitted with. Raises SubjectErased."""

    def result(self, task: Task, value: Any) -> Any:
        """What a worker answers."""

    def text(self, task: Task, value: str | None) -> Any:
        """A message or reason."""

    def require_unlocked(self, task: Task) -> None:
        """Raises SubjectLocked: whoever worked on it would be told nothing, and heard in vain."""


class NoSubjects:
    """The Sealing where no task has a subject; one that has is a fault, and nothing is recorded."""

    def input(self, subject_id: UUID, task_id: UUID, value: Any) -> Any:
        """There is no such task."""
        raise LookupError(f"task {task_id} has a subject, and nothing here could seal it")

    def result(self, task: Task, value: Any) -> Any:
        """As it is."""
        return value if task.subject_id is None else self.input(task.subject_id, task.id, value)

    def text(self, task: Task, value: str | None) -> Any:
        """As it is."""
        return self.result(task, value)

    def require_unlocked(self, task: Task) -> None:
        """There are no keys."""


NO_SUBJECTS = NoSubjects()


class KeySealing:
    """The Sealing by the keys of the keyring."""

    def __init__(self, keyring: Keyring, vault: SubjectVault) -> None:
        self._keyring = keyring
        self._vault = vault

    def input(self, subject_id: UUID, task_id: UUID, value: Any) -> Any:
        """What a task is submitted with. Raises SubjectErased."""
        cipher = self._keyring.get(subject_id).cipher
        if cipher is None:
            raise SubjectErased
        return self._sealed(cipher, subject_id, Place(task_id, INPUT), value)

    def result(self, task: Task, value: Any) -> Any:
        """What a worker answers."""
        return self._of_task(task, RESULT, value)

    def text(self, task: Task, value: str | None) -> Any:
        """A message or reason."""
        return self._of_task(task, TEXT, value)

    def require_unlocked(self, task: Task) -> None:
        """Raises SubjectLocked."""
        if task.subject_id is not None and self._keyring.get(task.subject_id).locked:
            raise SubjectLocked

    def _of_task(self, task: Task, sort: bytes, value: Any) -> Any:
        if task.subject_id is None or value is None:
            return value
        cipher = self._keyring.get(task.subject_id).cipher
        if cipher is None:
            return ERASED
        return self._sealed(cipher, task.subject_id, Place(task.id, sort), value)

    def _sealed(self, cipher: Cipher, subject_id: UUID, place: Place, value: Any) -> Any:
        if value is None:
            return None
        plain = value.encode() if place.sort == TEXT else orjson.dumps(value)
        where = place.of(subject_id)
        content = cipher.seal(where, plain)
        return str(Sealed(subject_id, self._vault.mark(where, content), content))
