"""`dts admin signing`: keys that functions are signed with."""

from pathlib import Path

import click

from dts_core.cli.client_common import Where, print_json, print_line, server_options
from dts_core.plain.words import plural
from dts_core.text import clean

FILE = click.Path(path_type=Path)


@click.group()
def signing() -> None:
    """Keys that functions are signed with, and what was signed.

    \b
    A new key, without a moment in which anything is refused:
      1. dts admin signing new-key /etc/dts/signing-2.key
      2. dts admin signing public /etc/dts/signing-2.key    into every worker's public_keys_file,
         beside the former one; workers follow it (public_keys itself is read at their start)
      3. [signing] key_file of every server names the new file; restart the servers
      4. dts admin signing resign
      5. take the former key out of the workers' files
    """  # noqa: D301 - below \b click keeps the lines


@signing.command("new-key")
@click.argument("file", metavar="FILE", type=FILE)
def new_key(file: Path) -> None:
    """Make a private key in FILE (mode 600), for [signing] key_file, and print its public half.

    A file that is there already is left alone. Run it as the user that the server runs as.
    """
    from dts_core.signing.files import make_key

    made = make_key(file.expanduser())
    print_line(f"{made.public}  # {made.public.id} {clean(str(file))}")


@signing.command()
@click.argument("files", metavar="FILE...", type=FILE, nargs=-1, required=True)
def public(files: tuple[Path, ...]) -> None:
    """Print the public half of private keys, one a line, as workers take them.

    \b
    Example:
      dts admin signing public ~/.local/share/dts/server/signing.key > signing.pub
    """  # noqa: D301 - below \b click keeps the lines
    from dts_core.signing.files import load_signer

    for file in files:
        found = load_signer(file.expanduser()).public
        print_line(f"{found}  # {found.id} {clean(str(file))}")


@signing.command()
@server_options
def show(where: Where) -> None:
    """Show the public half of the key that the server signs with."""
    with where.client() as client:
        found = client.functions.signing()
    if where.as_json:
        print_json(found)
    elif found.key:
        print_line(f"{clean(found.public)}  # {clean(found.key)}")
    else:
        print_line("this server signs nothing: [signing] key_file is empty")


@signing.command()
@server_options
def resign(where: Where) -> int:
    """Sign every version that a function lists again with the server's key.

    Versions of deleted functions keep their signature. Exit status 1: versions were found whose signature is not for
    them. They are named and left alone.
    """
    with where.client() as client:
        report = client.functions.resign()
    if where.as_json:
        print_json(report)
    else:
        signed, functions = plural(report.signed, "version"), plural(report.functions, "function")
        print_line(f"signed {signed} of {functions} with key {clean(report.key)}")
        for each in report.refused:
            print_line(f"not for what it lies with, find out who changed it: {clean(each)}")
    return 1 if report.refused else 0
