"""Environments of packages for functions that declare them, made once on this host and cached by what they hold."""

from dts_worker.environments.service import Environments
from dts_worker.environments.wanted import EnvironmentFailed, Wanted

__all__ = ["EnvironmentFailed", "Environments", "Wanted"]
