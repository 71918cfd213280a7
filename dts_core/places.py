"""Where things lie: the data folder, the files in it, and the URLs of the configuration that name them."""

from pathlib import Path

from dts_core.errors import ConfigError
from dts_core.settings import masked
from dts_core.text import one_line

__all__ = ["ADMIN", "DATA_FILE", "ENDPOINT", "SOCKET", "default_data", "folder_of", "socket_of"]

DATA_FILE = "dts.db"
SOCKET = "link.sock"
ENDPOINT = "endpoint.json"
ADMIN = "admin.json"
DISTRIBUTED = ("amqp", "amqps", "mongodb", "mongodb+srv")
SOCKET_PATH_MAX = 103
"""Longest path of a Unix socket, in bytes (macOS; Linux allows 107)."""


def default_data() -> Path:
    """The data folder of `dts up` when none is named: the user's own, by the system's habit."""
    import platformdirs

    return Path(platformdirs.user_data_dir("dts", appauthor=False))


def folder_of(url: str, *, key: str) -> Path:
    """The folder that `sqlite:///FOLDER` names; FOLDER is absolute or begins with ~.

    Raises:
        ConfigError: Another scheme, or a relative path.
    """
    return _path_of(url, "sqlite", key=key, example="sqlite:///~/.local/share/dts/server")


def socket_of(url: str, *, key: str) -> Path:
    """The socket that `link+unix:///PATH` names; PATH is absolute or begins with ~.

    Raises:
        ConfigError: Another scheme, a relative path, or one that is too long for a socket.
    """
    example = f"link+unix:///~/.local/share/dts/server/{SOCKET}"
    path = _path_of(url, "link+unix", key=key, example=example)
    return fitting_socket(path)


def fitting_socket(path: Path) -> Path:
    """The path, when a socket may have it.

    Raises:
        ConfigError: It is longer than SOCKET_PATH_MAX bytes.
    """
    if len(str(path).encode()) > SOCKET_PATH_MAX:
        raise ConfigError(
            f"the path of the socket {one_line(str(path))} is longer than {SOCKET_PATH_MAX} bytes.",
            advice="Choose a data folder with a shorter path.",
        )
    return path


def _path_of(url: str, scheme: str, *, key: str, example: str) -> Path:
    found, separator, rest = url.partition("://")
    if found in DISTRIBUTED:
        raise ConfigError(
            f"{found}:// is of the distributed engine, which this version does not have.",
            key=key,
            advice=f"Use the embedded one: {example}.",
        )
    path = Path(rest.removeprefix("/") if rest.startswith("/~") else rest)
    if found != scheme or not separator or not (rest.startswith("/~") or path.is_absolute()):
        shown = one_line(masked(url)) or "nothing"
        raise ConfigError(
            f"expected {scheme}:///PATH with an absolute path; given {shown}.",
            key=key,
            advice=f"For example {example}.",
        )
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ConfigError(f"no such user's home: {one_line(rest)}.", key=key) from error
