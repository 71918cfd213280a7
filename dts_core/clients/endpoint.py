"""Where the server is and who asks: `--url`, `--context`, `--data`, their variables, or the local stack."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import platformdirs

from dts_core.errors import ConfigError, DtsError
from dts_core.filelock import only_one
from dts_core.private import write_private


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An address with what is known of who asks; `token` is left out of its printed form."""

    url: str
    user: str = ""
    token: str = ""
    name: str = ""
    """What to call it: the context's name, the data folder, or the url."""
    ca: str = ""
    """File of certificates to trust beside the system's authorities."""

    def __repr__(self) -> str:
        return f"Endpoint(url={self.url!r}, user={self.user!r})"


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """One server that a person has logged in to."""

    url: str
    user: str
    token: str
    ca: str = ""

    def __repr__(self) -> str:
        return f"Context(url={self.url!r}, user={self.user!r})"


class Contexts(msgspec.Struct, kw_only=True):
    """The user's file of contexts."""

    current: str = ""
    contexts: dict[str, Context] = {}


class _Published(msgspec.Struct):
    url: str
    pid: int
    ca: str = ""


class _Credentials(msgspec.Struct):
    user: str
    token: str


def default_data_folder() -> Path:
    """Where the embedded stack keeps its data unless told otherwise."""
    return Path(platformdirs.user_data_dir("dts", appauthor=False))


def contexts_file() -> Path:
    """The user's file of contexts."""
    return Path(platformdirs.user_config_dir("dts", appauthor=False)) / "contexts.json"


def read_contexts(file: Path | None = None) -> Contexts:
    """The contexts; none when there is no file. Raises ConfigError when it is not ours."""
    path = file or contexts_file()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Contexts)
    except FileNotFoundError:
        return Contexts()
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(
            f"cannot be read: {error}", file=str(path), advice="Remove it and log in again."
        ) from error


def write_contexts(contexts: Contexts, file: Path | None = None) -> None:
    """Replace the file, readable by its owner only; never half-written."""
    path = file or contexts_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(path, msgspec.json.format(msgspec.json.encode(contexts)))


@contextmanager
def changed_contexts(file: Path | None = None) -> Iterator[Contexts]:
    """The contexts, to be changed inside; written when that ends well. Others that change them wait for it.

    Raises:
        ConfigError: The file is not ours, or another process changes it all the time.
    """
    path = file or contexts_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with only_one(path.with_name(f".{path.name}.lock")):
        known = read_contexts(path)
        yield known
        write_contexts(known, path)


def find_endpoint(
    *,
    url: str = "",
    context: str = "",
    data: str = "",
    environ: Mapping[str, str] | None = None,
) -> Endpoint:
    """Find the server; a flag goes before a variable, an explicit one before the local stack.

    Args:
        url: Address of a server; its token comes from DTS_TOKEN or from a context of the same address.
            Its certificate is checked against the system's authorities and those of DTS_CA_FILE.
        context: Name of a context that `dts login` wrote.
        data: Data folder of a `dts up` on this machine.
        environ: DTS_URL, DTS_CONTEXT, DTS_DATA, DTS_TOKEN, DTS_CA_FILE; the process's own when None.

    Raises:
        ConfigError: Nothing is known of it, or what is known cannot be read.
    """
    env = os.environ if environ is None else environ
    found = _found(env, url, context, data)
    authorities = env.get("DTS_CA_FILE", "")
    return msgspec.structs.replace(found, ca=authorities) if authorities else found


def _found(env: Mapping[str, str], url: str, context: str, data: str) -> Endpoint:
    if url or context or data:
        env = {"DTS_TOKEN": env.get("DTS_TOKEN", "")}
    url, context, data = (
        url or env.get("DTS_URL", ""),
        context or env.get("DTS_CONTEXT", ""),
        data or env.get("DTS_DATA", ""),
    )
    if url:
        return _by_url(url, env.get("DTS_TOKEN", ""))
    if context:
        return _by_context(context, read_contexts())
    if data:
        return local_endpoint(Path(data).expanduser())
    contexts = read_contexts()
    if contexts.current and not (default_data_folder() / "endpoint.json").exists():
        return _by_context(contexts.current, contexts)
    return local_endpoint(default_data_folder())


def local_endpoint(folder: Path) -> Endpoint:
    """The stack that runs on a data folder of this user.

    Raises:
        ConfigError: None runs there, or its files are another user's.
    """
    try:
        published = msgspec.json.decode((folder / "endpoint.json").read_bytes(), type=_Published)
        known = msgspec.json.decode((folder / "admin.json").read_bytes(), type=_Credentials)
    except FileNotFoundError as error:
        raise _not_running(folder) from error
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(
            f"cannot be read: {error}", file=str(folder), advice="Is it your own folder?"
        ) from error
    # Killed, it could not remove its file: whoever listens on its port now must not be shown the token.
    if not _is_ours(published.pid):
        raise _not_running(folder)
    return Endpoint(
        url=published.url, user=known.user, token=known.token, name=str(folder), ca=published.ca
    )


def _not_running(folder: Path) -> ConfigError:
    return ConfigError(
        f"no server runs on the data folder {folder}.",
        advice="Start one with `dts up`, or name a server with --url or --context.",
    )


def _is_ours(pid: int) -> bool:
    """Whether a process of this user has that number."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError):
        return False
    return True


def _by_url(url: str, token: str) -> Endpoint:
    from dts_core.clients.transport import (
        address as checked,
    )  # loads httpx, which --help does not need

    address = checked(url)
    known = _known_by(address)
    if token:
        return Endpoint(url=address, token=token, name=address, ca=known.ca)
    return known


def _known_by(address: str) -> Endpoint:
    """What is known of an address. A token never goes to another server than the one that gave it."""
    try:
        for each in read_contexts().contexts.values():
            if each.url == address:
                return _of_context(each, address)
        local = local_endpoint(default_data_folder())
    except DtsError:
        return Endpoint(url=address, name=address)
    return local if local.url == address else Endpoint(url=address, name=address)


def _of_context(context: Context, name: str) -> Endpoint:
    return Endpoint(
        url=context.url, user=context.user, token=context.token, name=name, ca=context.ca
    )


def _by_context(name: str, contexts: Contexts) -> Endpoint:
    return _of_context(known_context(contexts, name), name)


def known_context(contexts: Contexts, name: str) -> Context:
    """The context of that name. Raises ConfigError, with those that there are."""
    found = contexts.contexts.get(name)
    if found is None:
        known = ", ".join(sorted(contexts.contexts)) or "none"
        raise ConfigError(
            f"there is no context {name!r}; known: {known}.", advice="Make one with `dts login`."
        )
    return found


def rename_context(contexts: Contexts, name: str, new: str) -> None:
    """Call a context otherwise; it stays the current one.

    Raises:
        ConfigError: There is none, the new name is empty, or it is another one's.
    """
    known_context(contexts, name)
    if not new.strip() or (new != name and new in contexts.contexts):
        why = f"there is a context {new!r} already." if new.strip() else "a context needs a name."
        raise ConfigError(why, advice="Choose another name.")
    contexts.contexts = {
        new if each == name else each: kept for each, kept in contexts.contexts.items()
    }
    if contexts.current == name:
        contexts.current = new


def remove_context(contexts: Contexts, name: str) -> Context:
    """Forget a context; its token goes on until it is ended. When it was the current one, there is none."""
    found = known_context(contexts, name)
    del contexts.contexts[name]
    if contexts.current == name:
        contexts.current = ""
    return found
