"""`dts admin vault`: the keys that secrets in the store are sealed with."""

from pathlib import Path

import click

from dts_core.cli.client_common import (
    Where,
    print_json,
    print_line,
    print_table,
    server_options,
)
from dts_core.text import clean


@click.group()
def vault() -> None:
    """The vault: keys outside the store that seal the secrets in it."""


@vault.command("new-key")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--first", is_flag=True, help="Let it seal; else it only opens.")
def new_key(file: Path, first: bool) -> None:
    """Make a key file of mode 0600, or add a key to the one there is. Asks no server.

    With several servers: add the key with --first, copy the file to each, then `dts admin vault
    rotate`. With one server `rotate` alone does it all.
    """
    from dts_core.vault import KeyFile
    from dts_core.vault import new_key as made_key

    path = file.expanduser().absolute()
    is_new = not path.exists()
    keys = KeyFile.made(path)
    if is_new:
        print_line(f"made {clean(str(path))} with key {keys.ring.first.id}, mode 0600")
        print_line("Name it in [vault] key_file, and keep a copy away from the store's backups.")
        return
    key = made_key()
    keys.add(key, is_first=first)
    print_line(f"added key {key.id}, {'which seals' if first else 'which only opens'} from now on")
    print_line("Copy the file to every server on the same store, then `dts admin vault rotate`.")


@vault.command()
@server_options
def status(where: Where) -> None:
    """List the keys by their ids, and how many secrets each is needed for."""
    with where.client() as client:
        found = client.vault.status()
    if where.as_json:
        print_json(found)
        return
    print_line(f"key file {clean(found.file)}")
    print_table(
        ("KEY", "SECRETS", ""),
        [
            (each.id, each.sealed, _role(each.is_first, each.in_file, each.sealed))
            for each in found.keys
        ],
    )
    if found.damaged:
        print_line(f"{found.damaged} secrets are damaged: store them again.")


def _role(is_first: bool, in_file: bool, count: int) -> str:
    if not in_file:
        return "missing from the file: these secrets do not open"
    if is_first:
        return "seals"
    return "opens" if count else "not needed any more, save for older backups"


@vault.command()
@click.option(
    "--page", type=click.IntRange(1, 200), default=50, show_default=True, help="Documents at once."
)
@server_options
def rotate(where: Where, page: int) -> None:
    """Add a key and seal every secret with it. Cut off, the same command goes on where it was.

    The old keys stay in the file, since older backups need them; `status` tells which are not
    needed any more, whose lines you may delete.
    """
    sealed, added, failed, cursor = 0, False, [], ""
    with where.client() as client:
        while True:
            answer = client.vault.rotate(cursor=cursor, limit=page)
            sealed, added = sealed + answer.sealed, added or answer.added
            failed += answer.failed
            cursor = answer.next
            if not cursor:
                break
    if where.as_json:
        print_json({"key": answer.key, "added": added, "sealed": sealed, "failed": failed})
    else:
        what = "a new key" if added else "the key that was there"
        print_line(f"sealed {sealed} secrets with {what}, {answer.key}")
        for each in failed:
            print_line(f"not opened, left as it is: {clean(each)}")
    if failed:
        raise SystemExit(1)
