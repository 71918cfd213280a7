"""`dts admin export`: users, namespaces, functions and virtual hosts as files that `dts admin apply` takes back."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dts_core.cli.client_common import Where, print_json, print_line, server_options
from dts_core.errors import ConfigError, InvalidInput
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.clients import SyncAdminClient
    from dts_core.declared import Kept


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path))
@click.option("--prune", is_flag=True, help="Remove files of documents that there are no more.")
@server_options
def export(where: Where, folder: Path, prune: bool) -> None:
    """Write users, namespaces, functions and virtual hosts into FOLDER, a TOML file each; no secrets.

    The same documents give the same files, so that two exports can be compared. A function's
    default version lies beside its file as NAME.py. Other files in FOLDER stay as they are.

    \b
    Examples:
      dts admin export declared/
      dts admin apply -f declared/ --dry-run
    """  # noqa: D301 - below \b click keeps the lines
    from dts_core.cli.admin_folder import document_files

    folder = folder.expanduser().absolute()
    with where.client() as client:
        found, files = exported(client, folder)
    left = [path for path in document_files(folder) if path not in files]
    if prune:
        for path in left:
            path.unlink()
    changed = sum(files.values())
    names = [str(path.relative_to(folder)) for path in left]
    if where.as_json:
        counts = {name: len(kept) for name, kept in found.items()}
        told = {"documents": counts, "files_written": changed}
        print_json(told | {"removed" if prune else "left": names})
        return
    print_line(
        f"{clean(str(folder), 400)}: {sum(map(len, found.values()))} documents, {changed} files written, "
        f"{len(files) - changed} as they were"
    )
    for name in names:
        print_line(
            f"removed {clean(name, 400)}"
            if prune
            else f"left {clean(name, 400)}: there is no such document (--prune removes it)"
        )


def exported(
    client: "SyncAdminClient", folder: Path
) -> "tuple[dict[str, list[Kept]], dict[Path, bool]]":
    """Write what the server holds; returns it, and the files, of each whether it was another before.

    Args:
        client: Of an administrator.
        folder: Absolute; made where it is not there.

    Raises:
        InvalidInput: An id that cannot be a file's name, or two that would be one.
        ConfigError: A folder in it is a link.
        ApiError: The server refuses, or is not there.
    """
    from dts_core.cli.admin_held import forms, held

    found = {name: held(client, form) for name, form in forms(client).items()}
    documents = [each for kept in found.values() for each in kept]
    _check_names(documents)
    return found, _write(client, folder, documents, list(found))


def _check_names(documents: "list[Kept]") -> None:
    """Refuse ids that a file system without capitals takes for one. Raises InvalidInput."""
    seen: dict[tuple[str, str], str] = {}
    for each in documents:
        other = seen.setdefault((each.key.collection, each.key.id.casefold()), each.key.id)
        if other != each.key.id:
            raise InvalidInput(
                f"{each.key.collection} {clean(other, 120)} and {clean(each.key.id, 120)} would be one "
                "file where capitals do not count.",
                advice="Give one of them another name.",
            )


def _write(
    client: "SyncAdminClient", folder: Path, documents: "list[Kept]", names: list[str]
) -> dict[Path, bool]:
    """Write each document; returns its files, and of each whether it was another before."""
    from dts_core.cli.admin_folder import SOURCE, write_file
    from dts_core.declared import document_toml

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in names:
        if (folder / name).is_symlink():
            raise ConfigError("is a link: it would lead elsewhere.", file=str(folder / name))
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    files = []
    for each in documents:
        if each.key.collection == "functions":
            source = client.functions.source(each.key.id, version=each.fields[SOURCE]).source
            files.append(write_file(folder, each.key, ".py", source))
            files.append(
                write_file(folder, each.key, ".toml", document_toml(each, without=[SOURCE]))
            )
        else:
            files.append(write_file(folder, each.key, ".toml", document_toml(each)))
    return dict(files)
