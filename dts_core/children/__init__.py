"""Runs calls of user code in warm child processes; the parent's side of `dts_core.runner`.

It knows nothing of brokers: the worker and the control side's internal worker both use it.
"""

from dts_core.children.calls import Call, Ended, EndKind, StopKind
from dts_core.children.pool import Children
from dts_core.children.settings import ChildrenSettings, ChildSettings

__all__ = ["Call", "ChildSettings", "Children", "ChildrenSettings", "EndKind", "Ended", "StopKind"]
