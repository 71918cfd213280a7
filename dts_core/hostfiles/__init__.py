"""Files of other programs that tell of hosts, read into virtual hosts. For clients: no daemon reads any of them."""

from dts_core.hostfiles.found import Findings, FoundHost, Mistake
from dts_core.hostfiles.planning import ImportPlan, chosen, plan_of, settled, with_known
from dts_core.hostfiles.reading import Sources, read_hosts

__all__ = [
    "Findings",
    "FoundHost",
    "ImportPlan",
    "Mistake",
    "Sources",
    "chosen",
    "plan_of",
    "read_hosts",
    "settled",
    "with_known",
]
