"""A folder of declared documents: read with every mistake that it holds, written a file at a time."""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from dts_core.declared import ORDER, Declared, Form, Key, Misfit, id_of, path_of
from dts_core.errors import ConfigError
from dts_core.private import write_private
from dts_core.text import clean

FILE_MAX: Final = 4 << 20
"""Largest file, in bytes."""
SOURCE: Final = "source"
"""The field of a function that lies in a file of its own."""


class Folder(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder declares."""

    documents: list[Declared]
    collections: frozenset[str]
    """Collections that have a folder in it."""
    misfits: list[Misfit]


class _Wrong(Exception):
    """Why a file cannot be taken."""


def read_folder(folder: Path, forms: Mapping[str, Form]) -> Folder:
    """Everything that is declared in a folder. Hidden files, and those that are no documents, are passed over.

    Raises:
        ConfigError: It is no folder, or holds no folder of a collection.
    """
    if not folder.is_dir():
        raise ConfigError("there is no such folder.", file=clean(str(folder), 400))
    collections = [name for name in ORDER if (folder / name).is_dir()]
    if not collections:
        raise ConfigError(
            f"holds none of the folders {', '.join(ORDER)}.",
            file=clean(str(folder), 400),
            advice="`dts admin export` writes such a folder.",
        )
    documents: list[Declared] = []
    wrong = [*_misnamed(folder)]
    for name in collections:
        for path in _files(folder / name, name):
            shown = clean(str(path.relative_to(folder)), 400)
            try:
                found = _document(folder, path, shown, forms[name], wrong)
            except _Wrong as error:
                wrong.append(Misfit(shown, "", str(error)))
            else:
                documents += [] if found is None else [found]
    return Folder(documents=documents, collections=frozenset(collections), misfits=wrong)


def line_of(folder: Path, misfit: Misfit) -> str:
    """Where it is: `FILE:LINE: FIELD`, as far as that can be told."""
    line = 0
    if misfit.field:
        try:
            text = (folder / misfit.file).read_text("utf-8")
        except (OSError, ValueError):
            text = ""
        begin = rf'^[ \t]*\[?[ \t]*"?{re.escape(misfit.field)}"?[ \t]*[\].=]'
        found = re.search(begin, text, flags=re.MULTILINE)
        line = text.count("\n", 0, found.start()) + 1 if found else 0
    where = f"{misfit.file}:{line}" if line else misfit.file
    return clean(": ".join(part for part in (where, misfit.field, misfit.why) if part), 800)


def document_files(folder: Path) -> Iterator[Path]:
    """The files in a folder that have the names of documents and their sources."""
    for name in ORDER:
        if (folder / name).is_dir():
            for path in _files(folder / name, name):
                parts = path.relative_to(folder).parts
                if id_of([*parts[:-1], f"{path.stem}.toml"]) is not None:
                    yield path


def write_file(folder: Path, key: Key, suffix: str, text: str) -> tuple[Path, bool]:
    """Write a document's file as a whole; returns where, and whether it was another before.

    Raises:
        InvalidInput: The id is no name of a file.
        ConfigError: A folder on the way is a link, or no folder.
    """
    path = folder / path_of(key).with_suffix(suffix)
    for parent in reversed(path.parents):
        if not parent.is_relative_to(folder) or parent == folder:
            continue
        if parent.is_symlink():
            raise ConfigError("is a link: it would lead elsewhere.", file=clean(str(parent), 400))
        parent.mkdir(mode=0o700, exist_ok=True)
    content = text.encode()
    if not path.is_symlink() and path.is_file() and path.read_bytes() == content:
        return path, False
    write_private(path, content)
    return path, True


def _misnamed(folder: Path) -> Iterator[Misfit]:
    """Folders whose documents would be passed over for a letter in the folder's name."""
    for path in sorted(folder.iterdir()):
        near = difflib.get_close_matches(path.name.lower(), ORDER, n=1, cutoff=0.8)
        if near and path.name not in ORDER and path.is_dir():
            yield Misfit(clean(path.name, 200), "", f"no collection; did you mean {near[0]}?")


def _files(folder: Path, collection: str) -> list[Path]:
    pattern = "*/*" if collection == "functions" else "*"
    suffixes = (".toml", ".py") if collection == "functions" else (".toml",)
    found = [*folder.glob(pattern)] + ([*folder.glob("*.toml")] if pattern != "*" else [])
    return sorted(
        path
        for path in found
        if path.suffix in suffixes
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not path.is_dir()
    )


def _document(
    folder: Path, path: Path, shown: str, form: Form, wrong: list[Misfit]
) -> Declared | None:
    """The document of a file, None when it is not to be taken; `wrong` hears of its fields."""
    if path.suffix == ".py":
        if not path.with_suffix(".toml").exists():
            raise _Wrong(f"there is no {path.stem}.toml beside it; an empty one will do")
        return None
    key = id_of(path.relative_to(folder).parts)
    if key is None:
        place = "functions/NAMESPACE/NAME.toml" if form.name == "functions" else "ID.toml"
        raise _Wrong(f"this is no name of a {form.one}: {place} is expected")
    given = _parsed(_read(path))
    if given.pop("_id", key.id) != key.id:
        wrong.append(Misfit(shown, "_id", f"the file's name says {key.id}"))
    if form.name == "functions":
        if SOURCE in given:
            raise _Wrong(f"the source lies beside it, in {path.stem}.py")
        source = path.with_suffix(".py")
        if not source.exists():
            raise _Wrong(f"there is no {source.name} beside it")
        given = {SOURCE: _read(source)} | given
    mistakes = form.mistakes(given)
    if mistakes:
        wrong += [Misfit(shown, clean(name, 120), why) for name, why in mistakes.items()]
        return None
    return Declared(key=key, fields=form.filled(given), file=shown)


def _parsed(text: str) -> dict[str, Any]:
    import tomli

    try:
        return tomli.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Wrong(f"cannot be parsed: {clean(str(error), 200)}") from error


def _read(path: Path) -> str:
    """The text as it is, line ends included."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_MAX + 1)
    except OSError as error:
        raise _Wrong(f"cannot be read: {error.strerror}") from error
    if len(data) > FILE_MAX:
        raise _Wrong(f"has more than {FILE_MAX} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Wrong(f"is not UTF-8 at byte {error.start}") from error
