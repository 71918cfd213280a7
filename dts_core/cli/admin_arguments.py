"""`dts admin arguments`: keys that secret arguments are sealed to."""

from pathlib import Path

import click

from dts_core.cli.client_common import print_line
from dts_core.text import clean

FILE = click.Path(path_type=Path)


@click.group()
def arguments() -> None:
    """Keys that secret arguments of jobs are sealed to.

    \b
    A new key, without a job that cannot be opened:
      1. dts admin arguments new-key FILE    puts it first into the file that the workers have
      2. copy FILE to every worker, mode 600; restart the workers
      3. dts admin arguments public FILE     its first line into [arguments] public_keys of every
         server; restart the servers
      4. when no job of before is left, take the former line out of FILE
    """  # noqa: D301 - below \b click keeps the lines


@arguments.command("new-key")
@click.argument("file", metavar="FILE", type=FILE)
def new_key(file: Path) -> None:
    """Put a new private key first into FILE (made with mode 600), and print its public half.

    Workers name the file in [arguments] key_file; servers the public half in [arguments]
    public_keys.
    """
    from dts_core.sealed.files import add_key

    made = add_key(file.expanduser()).public
    print_line(f"{made}  # {made.id} {clean(str(file))}")


@arguments.command()
@click.argument("file", metavar="FILE", type=FILE)
@click.option("--namespace", default="", metavar="NS", help="For the arguments of this one alone.")
def public(file: Path, namespace: str) -> None:
    """Print the public halves of a file's keys, one a line, as servers take them; the first seals.

    \b
    Example:
      dts admin arguments public /etc/dts/arguments.key > arguments.pub
    """  # noqa: D301 - below \b click keeps the lines
    from dts_core.names import check_name
    from dts_core.sealed.files import read_opening_keys

    suffix = f" {check_name(namespace, what='namespace')}" if namespace else ""
    for each in read_opening_keys(file.expanduser()):
        print_line(f"{each.public}{suffix}  # {each.public.id} {clean(str(file))}")
