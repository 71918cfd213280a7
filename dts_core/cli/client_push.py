"""`dts functions add|push`, and with `--watch` the loop of writing a function: save, and it is live."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from dts_core.bundles import fingerprint, modules_of, read_source
from dts_core.cli.client_common import Where, print_json, print_line, server_options
from dts_core.errors import ApiError, ConfigError, DtsError, ServerUnreachable
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.clients import SyncAdminClient
    from dts_core.views import Written

__all__ = ["Watcher", "add", "push"]

POLL_SECONDS: Final = 0.3
RETRY_LOOKS: Final = 10
"""How many looks are let pass after a server that did not answer."""
NAMES_MAX: Final = 10
"""Most files that one line names."""


@click.command()
@click.argument("function", metavar="NS/NAME")
@click.argument("file", metavar="FILE.py|FOLDER", type=click.Path(path_type=Path))
@click.option("--note", default="", help="What this version is for.")
@server_options
def add(where: Where, function: str, file: Path, note: str) -> None:
    """Create a function from a file with a `main`, or from a folder of modules."""
    source = _read(file)
    with where.client() as client:
        written = client.functions.add(function, source, note=note)
    if where.as_json:
        print_json(written)
    else:
        print_line(f"created {clean(written.id)}, version {clean(written.version[:12])}")


@click.command()
@click.argument("function", metavar="NS/NAME")
@click.argument("file", metavar="FILE.py|FOLDER", type=click.Path(path_type=Path))
@click.option("--note", default="", help="What this version is for.")
@click.option("--watch", is_flag=True, help="Go on, and push whenever it is saved; Ctrl-C ends it.")
@server_options
def push(where: Where, function: str, file: Path, note: str, watch: bool) -> None:
    """Create a function, or give an existing one a new version, from a file or a folder.

    A folder has `main` in main.py (or __init__.py), and its other modules beside it; they are
    imported relatively (`from . import util`) or by name (`import util`), and are one version
    together. With --watch each burst of changes is one push, and says what changed, and that it
    is live or what is wrong with it.

    \b
    Examples:
      dts functions push sample/report report.py --note "less memory"
      dts functions push sample/report report/ --watch
    """  # noqa: D301 - below \b click keeps the lines
    source = "" if watch else _read(file)
    with where.client() as client:
        if watch:
            _watch(where, client, function, file, note)
            return
        written = push_source(client, function, source, note=note)
    if where.as_json:
        print_json(written)
    else:
        done = _DONE.get(written.operation, written.operation)
        print_line(f"{clean(done)} {clean(written.id)}, version {clean(written.version[:12])}")


_DONE: Final = {"create": "created", "update": "changed"}


def push_source(
    client: "SyncAdminClient", function: str, source: str, *, note: str = ""
) -> "Written":
    """Give a function this source as its default version, and create it where there is none.

    Raises:
        ApiError: It is refused, or the server cannot be reached.
    """
    try:
        revision = client.functions.get(function).revision
    except ApiError as error:
        if error.answer_status != 404:
            raise
        return client.functions.add(function, source, note=note)
    return client.functions.update(function, source=source, note=note, revision=revision)


class Watcher:
    """A file or folder that is pushed when it has changed and then stood still for a look.

    Args:
        path: Of it.
        push: Pushes a source.
        say: Hears of each push, in one line, and what was written; of one that failed nothing was.
    """

    def __init__(
        self,
        path: Path,
        push: "Callable[[str], Written]",
        say: "Callable[[str, Written | None], None]",
    ) -> None:
        self._path = path
        self._push = push
        self._say = say
        self._seen: object = None
        self._handled: object = None
        self._modules: dict[str, str] = {}
        """As they were pushed last."""
        self._wait = 0
        self._is_away = False

    def look(self) -> None:
        """Look once: a burst of changes goes on as long as one look differs from the one before."""
        if self._wait:
            self._wait -= 1
            return
        try:
            seen: object = fingerprint(self._path)
        except ConfigError as error:
            seen = str(error)
        if seen != self._seen:
            self._seen = seen
            return
        if seen != self._handled:
            self._handled = seen
            self._handle()

    def _handle(self) -> None:
        try:
            source = read_source(self._path).source
            modules = modules_of(source)
            if modules == self._modules:
                return
            written = self._push(source)
        except DtsError as error:
            if isinstance(error, ServerUnreachable) or _is_for_now(error):
                self._try_again(error)
            else:
                self._say(f"not pushed: {error.message} {error.advice}".rstrip(), None)
        else:
            changed = _changed(self._modules, modules, self._path.name)
            done = "created" if written.operation == "create" else "live"
            self._modules, self._is_away = modules, False
            self._say(f"{changed}: version {written.version[:12]} is {done}", written)

    def _try_again(self, error: DtsError) -> None:
        if not self._is_away:
            self._say(f"not pushed yet: {error.message} It is tried again.", None)
        self._is_away, self._handled, self._wait = True, None, RETRY_LOOKS


def _is_for_now(error: DtsError) -> bool:
    """Whether the server could not, rather than would not; a conflict is with somebody who was quicker."""
    return isinstance(error, ApiError) and (
        error.answer_status >= 500 or error.answer_status == 409
    )


def _changed(before: dict[str, str], after: dict[str, str], name: str) -> str:
    """In words, which modules are new, gone, or another."""
    words = []
    for word, paths in (
        ("new", after.keys() - before.keys()),
        ("changed", {path for path in before.keys() & after if before[path] != after[path]}),
        ("gone", before.keys() - after.keys()),
    ):
        shown = [path or name for path in sorted(paths)]
        if shown:
            more = f" and {len(shown) - NAMES_MAX} more" if len(shown) > NAMES_MAX else ""
            words.append(f"{word} {', '.join(shown[:NAMES_MAX])}{more}")
    return "; ".join(words)


def _watch(where: Where, client: "SyncAdminClient", function: str, file: Path, note: str) -> None:
    def say(text: str, written: "Written | None") -> None:
        if where.as_json:
            print_json(written if written is not None else {"error": text})
        else:
            print_line(f"{time.strftime('%H:%M:%S')}  {clean(text, 2_000)}")

    watcher = Watcher(file, lambda source: push_source(client, function, source, note=note), say)
    if not where.as_json:
        print_line(
            f"{clean(function)} is pushed whenever {clean(str(file))} is saved; Ctrl-C ends it"
        )
    try:
        while True:
            watcher.look()
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        if not where.as_json:
            print_line("no longer watched")


def _read(path: Path) -> str:
    packed = read_source(path)
    if packed.left_out:
        shown = ", ".join(packed.left_out[:NAMES_MAX])
        more = len(packed.left_out) - NAMES_MAX
        tail = f" and {more} more" if more > 0 else ""
        click.echo(f"no modules, left out: {clean(shown, 600)}{tail}", err=True)
    return packed.source
