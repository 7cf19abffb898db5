"""THE COMPOSITION ROOT: settings in, a wired and startable control plane out.

One module a part, each a function that takes what stands already and returns a frozen value.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interfaces.bootstrap.process import ControlPlaneProcess, Settings, build

__all__ = ["ControlPlaneProcess", "Settings", "build"]


def __getattr__(name: str) -> Any:
    """On demand: the archivist is in this package too, and starts in a fifth of the time without
    what a service needs."""
    if name not in __all__:
        raise AttributeError(name)
    from interfaces.bootstrap import process  # noqa: PLC0415

    return getattr(process, name)
