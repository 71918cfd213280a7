"""Ways through other hosts, as ssh takes them: `ProxyJump`, `-J`, and the `ProxyCommand` that means the same."""

import re
import shlex
from typing import Final, NamedTuple

from dts_core.hostfiles.found import port_of

__all__ = ["Hop", "hops_of", "hops_of_command", "hops_of_options"]

HOPS_MAX: Final = 8
_HOP: Final = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@/\s]+)@)?(?P<host>\[[^\]\s]+\]|[^:@/\s\[\]]+)(?::(?P<port>\d+))?/?"
)


class Hop(NamedTuple):
    """A host that a way leads through."""

    name: str
    user: str = ""
    port: int | None = None


def hops_of(text: str) -> list[Hop]:
    """The hosts of `[user@]host[:port],...`, the nearest to us first; none for `none`.

    Raises:
        ValueError: It is no such list; says why.
    """
    if text.strip().lower() == "none":
        return []
    hops = []
    for part in text.split(","):
        found = _HOP.fullmatch(part.strip())
        port = port_of(found["port"]) if found and found["port"] else None
        if found is None or (found["port"] and port is None):
            raise ValueError("it is no list of [user@]host[:port]")
        hops.append(Hop(found["host"].strip("[]"), found["user"] or "", port))
    if len(hops) > HOPS_MAX:
        raise ValueError(f"it leads through more than {HOPS_MAX} hosts")
    return hops


def hops_of_command(command: str) -> list[Hop]:
    """The same of `ssh -W %h:%p [user@]host`; no command is ever run.

    Raises:
        ValueError: It is another command.
    """
    if command.strip().lower() == "none":
        return []
    words = _split(command)
    if not words or words[0].rpartition("/")[2] != "ssh":
        raise ValueError("it is a command, and no command is run")
    target, forwards, user, port = "", False, "", None
    rest = iter(words[1:])
    for word in rest:
        if word == "-W":
            forwards = next(rest, "") == "%h:%p"
        elif word == "-l":
            user = next(rest, "")
        elif word == "-p":
            port = port_of(next(rest, ""))
        elif word in ("-q", "-4", "-6", "-x", "-T", "-a"):
            continue
        elif word.startswith("-") or target:
            raise ValueError(f"it is a command with {word}, and no command is run")
        else:
            target = word
    if not forwards or not target:
        raise ValueError("it is a command other than ssh -W %h:%p, and no command is run")
    [hop] = hops_of(target)
    return [Hop(hop.name, user or hop.user, port or hop.port)]


def hops_of_options(options: str) -> list[Hop] | None:
    """The same of options of ssh: `-J host`, `-o ProxyJump=host`, `-o ProxyCommand=...`; None: they tell of no way.

    Raises:
        ValueError: The way cannot be told.
    """
    rest = iter(_split(options))
    for word in rest:
        if word == "-J":
            return hops_of(next(rest, ""))
        if word.startswith("-J"):
            return hops_of(word[2:])
        setting = next(rest, "") if word == "-o" else word[2:] if word.startswith("-o") else ""
        name, _, value = setting.partition("=")
        if name.strip().lower() == "proxyjump":
            return hops_of(value)
        if name.strip().lower() == "proxycommand":
            return hops_of_command(value)
    return None


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"it cannot be read: {error}") from None
