"""What can be refused of subjects, and why."""

from domain.errors import Conflict, NotFound, Unavailable


class SubjectNotFound(NotFound):
    """No task of the caller's tenant was ever about this subject."""

    def __init__(self) -> None:
        # Its name is not repeated: refusals are logged.
        super().__init__("There is no such subject.")


class SubjectErased(Conflict):
    """The subject was erased: nothing more is taken about it."""

    code = "subject_erased"

    def __init__(self) -> None:
        super().__init__("This subject was erased; no task is taken about it any more.")


class SubjectLocked(Unavailable):
    """The key of the subject was wrapped with another signing key than the service has now."""

    code = "subject_locked"

    def __init__(self) -> None:
        super().__init__(
            "What is personal cannot be taken: the service has another signing key than before."
        )


class ErasureNotKept(Unavailable):
    """The erasure could not be noted outside the database, so nothing was erased."""

    code = "erasure_not_kept"


class ErasuresUnreadable(Exception):
    """The list of erasures holds a line that is none; the message says which, and what to do."""
