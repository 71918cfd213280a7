"""`dts admin backup` and `dts admin restore`: the whole embedded store in one file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dts_core.cli.client_common import print_json, print_line
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.hosting.archive import Manifest


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--data", default="", metavar="DIR", envvar="DTS_DATA", help="Data folder (DTS_DATA)."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def backup(file: Path, data: str, as_json: bool) -> None:
    """Write the whole store of a data folder on this machine into FILE, of mode 0600.

    The server may run meanwhile: FILE holds what was there at one moment. Keys and the
    administrator's login are not in it on purpose; keep copies of those elsewhere. A store in
    MongoDB is backed up with mongodump.
    """
    from dts_core.places import default_data
    from dts_core.wiring.backup import back_up

    folder = Path(data).expanduser().absolute() if data else default_data()
    taken = back_up(folder, file.expanduser().absolute())
    if as_json:
        print_json(_told(file, taken))
        return
    print_line(
        f"{clean(str(file), 400)}: {taken.size:,} bytes of {clean(str(folder), 400)}, "
        f"sha256 {taken.sha256}"
    )
    print_line(f"Not in it: {', '.join(taken.kept_out)}. Keep copies of them in another place.")


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--data", required=True, metavar="DIR", help="Data folder without a store.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def restore(file: Path, data: str, as_json: bool) -> None:
    """Put the store of a backup into a data folder that has none; its server must not run.

    A folder that holds a store is refused. Jobs that ran when the backup was taken are run again
    as after a crash.
    """
    from dts_core.wiring.backup import restore as restored

    folder = Path(data).expanduser().absolute()
    taken = restored(file.expanduser().absolute(), folder)
    if as_json:
        print_json(_told(file, taken))
        return
    print_line(
        f"{clean(str(folder), 400)}: the store of {taken.taken_at.astimezone():%Y-%m-%d %H:%M:%S}, "
        f"taken by dts {clean(taken.dts, 40)}"
    )
    missing = [name for name in taken.kept_out if not (folder / name).exists()]
    if missing:
        print_line(
            f"Before you start it put these into the folder: {clean(', '.join(missing), 400)}."
        )


def _told(file: Path, taken: "Manifest") -> dict[str, Any]:
    import msgspec

    told: dict[str, Any] = msgspec.to_builtins(taken)
    return {"file": str(file)} | told
