"""Hosts reached by SSH as the control side keeps them: from a virtual host to a session with it."""

from dts_core.remote.remotes import Person, Remotes

__all__ = ["Person", "Remotes"]
