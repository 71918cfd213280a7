"""What a person types for the fields of a document, and where secrets come from: never from the command line."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from dts_core.errors import ConfigError, InvalidInput
from dts_core.plain.typed import read_list, read_mapping
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.model import Parameter
    from dts_core.views import CollectionView

FILE_MAX: Final = 4 << 20
"""Largest file that a field or a document is read from, in bytes."""
_READ_ONLY: Final = ("_id", "created_at", "updated_at")


def assigned(view: "CollectionView", pairs: Sequence[str]) -> dict[str, Any]:
    """The fields of `FIELD=VALUE` arguments, each of its type; `FIELD=@FILE` reads a text from a file.

    Raises:
        InvalidInput: No such form, no such value, or a secret.
    """
    known = {each.name: each for each in view.fields}
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InvalidInput(
                f"{clean(pair, 60)!r} is not of the form FIELD=VALUE.",
                advice=f"Fields are {', '.join(known)}.",
            )
        field = known.get(name)
        if field is not None and field.type == "secret":
            raise InvalidInput(
                f"{name} is a secret: others can read a command line.",
                advice=f"Use --secret-file FILE, or --secret {name} to be asked for it.",
            )
        # A field that the server does not know goes to it: it names all of them at once.
        found[name] = text if field is None else _value(field, text)
    return found


def from_file(path: str) -> dict[str, Any]:
    """The fields of a document in a TOML or JSON file (`-` is TOML on standard input), without what is read-only.

    Raises:
        ConfigError: It cannot be read or parsed.
    """
    found = parse(text_of(path), path)
    return {name: value for name, value in found.items() if name not in _READ_ONLY}


def parse(text: str, source: str) -> dict[str, Any]:
    """A document in TOML, or in JSON where `source` ends so.

    Raises:
        ConfigError: It is neither.
    """
    import json

    import tomli

    try:
        found = json.loads(text) if source.endswith(".json") else tomli.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"cannot be parsed: {clean(str(error), 200)}.", file=source) from error
    if not isinstance(found, dict):
        raise ConfigError("holds no document: a table of fields is expected.", file=source)
    return found


def secrets(
    view: "CollectionView", *, asked: Sequence[str], files: Sequence[str], needed: bool
) -> dict[str, str]:
    """Secret fields: from files, `[FIELD=]FILE`, or asked for without an echo.

    Args:
        view: The collection.
        asked: Fields to ask for.
        files: Files to read; the field may be left out where there is one.
        needed: Ask for what a creation requires too.

    Raises:
        InvalidInput: No such secret field.
        ConfigError: A file cannot be read.
    """
    hidden = [each for each in view.fields if each.type == "secret"]
    names = [each.name for each in hidden]
    found: dict[str, str] = {}
    for given in files:
        name, equals, path = given.partition("=")
        if not equals and len(names) == 1:
            name, path = names[0], given
        found[_secret(name, names)] = text_of(path).strip()
    required = [each.name for each in hidden if each.required] if needed else []
    for name in [*(_secret(each, names) for each in asked), *required]:
        if name not in found:
            found[name] = click.prompt(name, hide_input=True, confirmation_prompt=True)
    return found


def _secret(name: str, names: Sequence[str]) -> str:
    if name in names:
        return name
    told = ", ".join(names) if names else "none here"
    raise InvalidInput(f"{clean(name, 60)!r} is no secret field.", advice=f"There are: {told}.")


def text_of(path: str) -> str:
    """The text of a file; `-` is standard input.

    Raises:
        ConfigError: It cannot be read, is too long, or is not UTF-8.
    """
    try:
        if path == "-":
            return sys.stdin.read(FILE_MAX)
        with Path(path).open("rb") as file:
            data = file.read(FILE_MAX + 1)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}.", file=path) from error
    if len(data) > FILE_MAX:
        raise ConfigError(f"has more than {FILE_MAX} bytes.", file=path)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8 at byte {error.start}.", file=path) from error


def _value(field: "Parameter", text: str) -> Any:
    reader = _READERS.get(field.type)
    if reader is None:
        return text_of(text[1:]) if text.startswith("@") else text
    try:
        return reader(text)
    except ValueError as error:
        raise InvalidInput(
            f"{field.name}={clean(text, 60)} is no {_WORDS[field.type]}.",
            fields={field.name: _WORDS[field.type]},
            advice=clean(field.help, 200),
        ) from error


def _switch(text: str) -> bool:
    return {"true": True, "yes": True, "false": False, "no": False}[text]


def _lookup(reader: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return reader(text)
        except KeyError as error:
            raise ValueError(text) from error

    return read


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "integer": int,
    "number": float,
    "switch": _lookup(_switch),
    "list": read_list,
    "mapping": read_mapping,
}
_WORDS: Final[Mapping[str, str]] = {
    "integer": "whole number",
    "number": "number",
    "switch": "switch: true or false",
    "list": "list: a,b or JSON",
    "mapping": "map: a:x,b:y or JSON",
}
