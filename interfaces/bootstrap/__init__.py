"""THE COMPOSITION ROOT: settings in, a wired and startable control plane out.

One module a part, each a function that takes what stands already and returns a frozen value.
"""

from interfaces.bootstrap.process import ControlPlaneProcess, Settings, build

__all__ = ["ControlPlaneProcess", "Settings", "build"]
