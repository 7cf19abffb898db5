"""What can go wrong with the embedded PostgreSQL."""


class EmbeddedPostgresFailed(Exception):
    """PostgreSQL cannot run in its folder.

    The first line says why and, where something helps, what to do. The end of the server's
    log follows when the server itself had something to say.
    """


class FolderInUse(EmbeddedPostgresFailed):
    """Another process runs PostgreSQL in the folder."""
