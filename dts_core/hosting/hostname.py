"""What this host is called."""

import platform
import re

from dts_core.errors import ConfigError
from dts_core.names import is_host
from dts_core.text import one_line

__all__ = ["host_name"]


def host_name(given: str = "") -> str:
    """The name given, else the machine's own, made to fit.

    Raises:
        ConfigError: The name given is no name of a host.
    """
    if given:
        if not is_host(given):
            raise ConfigError(
                f"{one_line(given)!r} is no name of a host.",
                key="worker.host",
                advice="Use letters, digits, dots, dashes and underscores.",
            )
        return given
    own = re.sub(r"[^A-Za-z0-9._-]", "-", platform.node())[:253].strip("._-")
    return own if is_host(own) else "localhost"
