"""Where things lie: the data folder, the files in it, and the URLs of the configuration that name them."""

from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from dts_core.errors import ConfigError
from dts_core.settings import BrokerSettings, StoreSettings, TlsSettings, masked
from dts_core.text import clean, one_line

__all__ = [
    "ADMIN",
    "ARGUMENTS_KEY",
    "DATA_FILE",
    "ENDPOINT",
    "PUBLIC_KEYS",
    "SIGNING_KEY",
    "SOCKET",
    "Layout",
    "data_folder_of",
    "default_data",
    "folder_of",
    "is_amqp",
    "is_mongodb",
    "is_stdio",
    "layout_of",
    "server_data",
    "socket_of",
]

DATA_FILE = "dts.db"
SOCKET = "link.sock"
ENDPOINT = "endpoint.json"
ADMIN = "admin.json"
SIGNING_KEY = "signing.key"
PUBLIC_KEYS = "signing.pub"
"""Beside the socket: a worker on a link finds there whose functions it may run."""
ARGUMENTS_KEY = "arguments.key"
"""Beside the socket too: a worker of the same user opens secret arguments with it."""
AMQP: Final = ("amqp", "amqps")
STDIO: Final = "link+stdio"
MONGODB: Final = ("mongodb", "mongodb+srv")
AMQP_EXAMPLE: Final = "amqps://USER:PASSWORD@HOST:5671/VHOST"
MONGODB_EXAMPLE: Final = "mongodb://USER:PASSWORD@HOST1,HOST2/dts?replicaSet=rs0"
SOCKET_PATH_MAX = 103
"""Longest path of a Unix socket, in bytes (macOS; Linux allows 107)."""


def default_data() -> Path:
    """The data folder of `dts up` when none is named: the user's own, by the system's habit."""
    import platformdirs

    return Path(platformdirs.user_data_dir("dts", appauthor=False))


class Layout(msgspec.Struct, frozen=True):
    """Which engine a control side stands on."""

    folder: Path | None
    """The data folder that its one process owns; None: the store is MongoDB."""
    rabbitmq: bool
    """Whether the broker is RabbitMQ."""

    @property
    def engine(self) -> str:
        """Its name, for people."""
        if self.folder is None:
            return "RabbitMQ + MongoDB"
        return "RabbitMQ + embedded store" if self.rabbitmq else "embedded"


def layout_of(broker: BrokerSettings, store: StoreSettings) -> Layout:
    """The engine that the two URLs of a control side name.

    Raises:
        ConfigError: A URL that is none of ours, or two that do not go together.
    """
    check_tls(broker.url, broker.tls, table="broker")
    check_tls(store.url, store.tls, table="store")
    if is_mongodb(store.url):
        _check_host(store.url, key="store.url", example=MONGODB_EXAMPLE)
        if not is_amqp(broker.url):
            raise ConfigError(
                f"MongoDB goes with RabbitMQ; given {one_line(masked(broker.url)) or 'nothing'}.",
                key="broker.url",
                advice=f"For example {AMQP_EXAMPLE}; or keep the store embedded too.",
            )
        _check_host(broker.url, key="broker.url", example=AMQP_EXAMPLE)
        return Layout(None, rabbitmq=True)
    folder = folder_of(store.url, key="store.url")
    if is_amqp(broker.url):
        _check_host(broker.url, key="broker.url", example=AMQP_EXAMPLE)
        return Layout(folder, rabbitmq=True)
    if folder_of(broker.url, key="broker.url") != folder:
        raise ConfigError(
            "broker.url and store.url name different folders.",
            advice="The embedded engine keeps both in one: record and message are one commit.",
        )
    return Layout(folder, rabbitmq=False)


def server_data() -> Path:
    """The data folder of a `dts server` that names none."""
    return Path("~/.local/share/dts/server").expanduser()


def data_folder_of(layout: Layout, given: str) -> Path:
    """Where a server keeps what is its own.

    Args:
        layout: Its engine; an embedded store's folder it is.
        given: `[server] data`, for a server without one.

    Raises:
        ConfigError: Both are given, and differ.
    """
    named = Path(given).expanduser().absolute() if given else None
    if layout.folder is None:
        return named or server_data()
    if named is not None and named != layout.folder:
        raise ConfigError(
            "names another folder than store.url.",
            key="server.data",
            advice="With an embedded store it is the store's folder: leave it out.",
        )
    return layout.folder


def is_amqp(url: str) -> bool:
    """Whether the URL names a RabbitMQ."""
    return url.partition("://")[0] in AMQP


def is_stdio(url: str) -> bool:
    """Whether the URL is a worker's that was launched over SSH: its link is its standard input and output."""
    return url.partition(":")[0] == STDIO


def is_mongodb(url: str) -> bool:
    """Whether the URL names a MongoDB."""
    return url.partition("://")[0] in MONGODB


def check_worker_url(url: str, tls: TlsSettings) -> None:
    """Refuse what a worker cannot reach: it takes link+unix:///SOCKET, link+stdio: or amqp(s)://.

    Raises:
        ConfigError: Another scheme, no host, or TLS files that nothing would use.
    """
    check_tls(url, tls, table="broker")
    if is_amqp(url):
        _check_host(url, key="broker.url", example=AMQP_EXAMPLE)
    elif is_stdio(url):
        if url != f"{STDIO}:":
            raise ConfigError(
                f"expected {STDIO}: and nothing behind it; given {one_line(masked(url))}.",
                key="broker.url",
            )
    elif url.startswith("sqlite:"):
        raise ConfigError(
            "a worker opens no data folder; it links to the server that owns it.",
            key="broker.url",
            advice=f"For example link+unix:///~/.local/share/dts/server/{SOCKET}.",
        )
    else:
        socket_of(url, key="broker.url")


def check_tls(url: str, tls: TlsSettings, *, table: str) -> None:
    """Refuse certificates that would not be used, or cannot be.

    Raises:
        ConfigError: The URL is one without TLS, a file cannot be read, or half a pair is given.
    """
    for key in ("ca_file", "cert_file", "key_file"):
        name = getattr(tls, key)
        if not name:
            continue
        if not uses_tls(url):
            raise ConfigError(
                f"is set, and {one_line(masked(url))} goes without TLS.",
                key=f"{table}.tls.{key}",
                advice="Write amqps://, or mongodb://... with ?tls=true.",
            )
        try:
            with Path(name).expanduser().open("rb"):
                pass
        except OSError as error:
            raise ConfigError(
                f"cannot be read: {error.strerror}.", file=clean(name), key=f"{table}.tls.{key}"
            ) from error
    if bool(tls.key_file) and not tls.cert_file:
        raise ConfigError("is missing beside key_file.", key=f"{table}.tls.cert_file")


def uses_tls(url: str) -> bool:
    """Whether what goes over this URL is encrypted."""
    scheme, _, rest = url.partition("://")
    options = parse_qs(rest.partition("?")[2])
    said = (options.get("tls") or options.get("ssl") or [""])[-1].lower()
    return scheme == "amqps" or said == "true" or (scheme == "mongodb+srv" and said != "false")


def _check_host(url: str, *, key: str, example: str) -> None:
    try:
        has_host = bool(urlsplit(url.replace(",", "-")).hostname)  # MongoDB lists several
    except ValueError:
        has_host = False
    if not has_host:
        raise ConfigError(
            f"names no host: {one_line(masked(url))}.", key=key, advice=f"For example {example}."
        )


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
    if found in (*AMQP, *MONGODB):
        raise ConfigError(
            f"{found}:// has no place here.", key=key, advice=f"For example {example}."
        )
    # Two slashes at its front are one: elsewhere sqlite:////PATH is how an absolute path is written.
    path = Path(rest.removeprefix("/") if rest.startswith(("/~", "//")) else rest)
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
