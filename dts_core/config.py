"""Settings of a part from its file (TOML or JSON), its `-dev` tables, `DTS_*` variables and flags, in this order.

Every mistake is a ConfigError that names the file or variable, the key, what was expected and what was given. Unknown
keys are mistakes, in `-dev` tables that are not taken too.
"""

import difflib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin

import msgspec

from dts_core.errors import ConfigError
from dts_core.resources import etc_folder
from dts_core.settings import Settings, masked, secrecy
from dts_core.text import clean, one_line

__all__ = ["FILE_MAX", "Loaded", "config_folder", "load_config_file", "load_settings", "variables"]

FILE_MAX = 1 << 20
"""Largest configuration file, in bytes."""
FILE_TYPES = ("toml", "json")
DEV = "-dev"
"""Ending of a table that `-d` lays over the table of the same name."""

S = TypeVar("S", bound=Settings)


class Loaded(msgspec.Struct, Generic[S], frozen=True):
    """Settings, and where they came from."""

    settings: S
    file: Path | None = None
    """None: the part has no file in the configuration folder, its defaults stand."""
    taken: tuple[str, ...] = ()
    """The `-dev` tables that were laid over, dotted."""
    environment: tuple[str, ...] = ()
    """Names of the variables that counted."""
    flags: tuple[str, ...] = ()
    """Dotted keys that the command line set."""

    def given(self, key: str) -> bool:
        """Whether a variable or a flag, not a file, set this dotted key."""
        name = "DTS_" + key.replace(".", "_").upper()
        return key in self.flags or name in self.environment

    def story(self) -> str:
        """One line for the log: the file, the `-dev` tables taken, the variables."""
        parts = [f"configuration {self.file}" if self.file else "configuration: defaults"]
        if self.taken:
            parts.append(f"over it {', '.join(f'[{name}]' for name in self.taken)}")
        if self.environment:
            parts.append(f"from the environment {', '.join(self.environment)}")
        return clean("; ".join(parts))


def config_folder(given: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of the parts' own files: `given`, else DTS_CONFIG_DIR, else the etc/ that ships with dts.

    Raises:
        ConfigError: The folder named is none.
    """
    named = given or (Path(environ["DTS_CONFIG_DIR"]) if environ.get("DTS_CONFIG_DIR") else None)
    if named is None:
        return etc_folder()
    folder = named.expanduser()
    if not folder.is_dir():
        raise ConfigError("is no folder.", file=_shown(folder), advice="Give the folder of *.toml.")
    return folder


def load_config_file(path: Path, filetype: str | None = None) -> dict[str, Any]:
    """Read one configuration file, strictly UTF-8, at most FILE_MAX bytes.

    Args:
        path: The file.
        filetype: `toml` or `json`; None: by the file's ending.

    Returns:
        Its tables as they stand, `-dev` ones too.

    Raises:
        ConfigError: Missing, unreadable, too large, of another type, not UTF-8 (names the byte), or not well-formed
            (names line and column).
    """
    file = _shown(path)
    kind = (filetype or path.suffix.lstrip(".")).lower()
    if kind not in FILE_TYPES and path.exists() and not path.is_dir():
        raise ConfigError(
            f"{one_line(kind) or 'a file without ending'} is no configuration type.",
            file=file,
            advice=f"Use one of: {', '.join(FILE_TYPES)}.",
        )
    data = _read(path)  # whatever it is called: a file that is not there is told as such
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"byte {error.start} (line {line}) is not UTF-8: 0x{data[error.start]:02x}.",
            file=file,
            advice="Save the file as UTF-8.",
        ) from error
    tables = _PARSERS[kind](text, file)
    if not isinstance(tables, dict):
        raise ConfigError("holds no tables.", file=file, advice="Write one object of tables.")
    return tables


def load_settings(
    kind: type[S],
    *,
    part: str,
    config_file: Path | None = None,
    config_dir: Path | None = None,
    dev: bool = False,
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, Any] | None = None,
) -> Loaded[S]:
    """The settings of one part: flags over variables over `-dev` tables over the file over the defaults.

    Args:
        kind: The Struct of the part's file.
        part: `server`, `worker`, `daemons` or `tui`: its own file is PART.toml or PART.json in the folder.
        config_file: This file instead; it must be there.
        config_dir: This folder instead of DTS_CONFIG_DIR or the etc/ that ships.
        dev: Take the `-dev` tables.
        environ: Where DTS_<TABLE>_<KEY> are looked up; an empty value counts as none.
        overrides: Dotted key -> value from flags; None counts as not given.

    Raises:
        ConfigError: See the module.
    """
    path = config_file.expanduser() if config_file else _own_file(part, config_dir, environ)
    tables = load_config_file(path) if path else {}
    _check(tables, kind, file=_shown(path) if path else "", at="")
    taken: list[str] = []
    values = _overlaid(tables, taken if dev else None)
    named = _environment(kind, environ)
    flags = {key: value for key, value in (overrides or {}).items() if value is not None}
    for key, value in [*named.values(), *flags.items()]:
        _put(values, key, value)
    try:
        settings = msgspec.convert(values, kind)
    except (msgspec.ValidationError, OverflowError) as error:  # flags only: the rest is checked
        raise ConfigError(clean(str(error)), file="command line") from error
    return Loaded(settings, path, tuple(taken), tuple(named), tuple(flags))


def variables(kind: type[Settings]) -> dict[str, str]:
    """Every environment variable that counts for this part, with its dotted key."""
    return {"DTS_" + key.replace(".", "_").upper(): key for key, _ in _leaves(kind)}


# --- files ----------------------------------------------------------------------------------------


def _own_file(part: str, config_dir: Path | None, environ: Mapping[str, str]) -> Path | None:
    folder = config_folder(config_dir, environ)
    found = (folder / f"{part}.{ending}" for ending in FILE_TYPES)
    return next((path for path in found if path.exists()), None)


def _read(path: Path) -> bytes:
    file = _shown(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(FILE_MAX + 1)
    except IsADirectoryError as error:
        raise ConfigError("is a folder.", file=file, advice="Give a file.") from error
    except FileNotFoundError as error:
        raise ConfigError("is not there.", file=file, advice="Check the path.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is not valid"
        raise ConfigError(
            f"cannot be read: {reason}.", file=file, advice="Check its owner and mode."
        ) from error
    if len(data) > FILE_MAX:
        raise ConfigError(f"is larger than {FILE_MAX} bytes.", file=file)
    return data


def _parse_toml(text: str, file: str) -> Any:
    import tomli

    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise ConfigError(f"no valid TOML: {clean(str(error))}.", file=file) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, deep nesting
        raise ConfigError(f"no valid TOML: {one_line(str(error))}.", file=file) from error


def _parse_json(text: str, file: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigError("stands there twice.", file=file, key=one_line(twice))
        return table

    def no_number(text: str) -> Any:
        raise ConfigError(f"{text} is no number of JSON.", file=file)

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=no_number)
    except json.JSONDecodeError as error:
        where = f"(at line {error.lineno}, column {error.colno})"
        raise ConfigError(f"no valid JSON: {clean(error.msg)} {where}.", file=file) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"no valid JSON: {one_line(str(error))}.", file=file) from error


_PARSERS: dict[str, Callable[[str, str], Any]] = {"toml": _parse_toml, "json": _parse_json}


# --- checks ---------------------------------------------------------------------------------------


def _check(table: Mapping[str, Any], kind: type[Settings], *, file: str, at: str) -> None:
    """Every key of a table and of its `-dev` twins is known and its value fits."""
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for name, value in table.items():
        key = f"{at}.{name}" if at else name
        base = name.removesuffix(DEV)
        field = fields.get(name) or fields.get(base)
        is_twin = name != base and name not in fields
        if field is None or (is_twin and not _is_table(field.type)):
            raise _unknown(key, name, fields, file=file)
        if _is_settings(field.type):
            if not isinstance(value, dict):
                raise _misfit("a table", value, file=file, key=key)
            _check(value, field.type, file=file, at=key)
        else:
            _convert(value, field.type, file=file, key=key)


def _convert(value: Any, kind: Any, *, file: str, key: str, strict: bool = True) -> Any:
    try:
        return msgspec.convert(value, kind, strict=strict)
    except (msgspec.ValidationError, OverflowError) as error:
        expected = _choices(kind) or str(error).removeprefix("Expected ").replace("`", "")
        shown = masked(str(value)) if secrecy(kind) else value
        raise _misfit(expected, shown, file=file, key=key) from error


def _choices(kind: Any) -> str:
    return f"one of {', '.join(get_args(kind))}" if get_origin(kind) is Literal else ""


def _misfit(expected: str, value: Any, *, file: str, key: str) -> ConfigError:
    given = one_line(repr(value), 80)
    return ConfigError(f"expected {clean(expected)}; given {given}.", file=file, key=clean(key))


def _unknown(key: str, name: str, known: Mapping[str, Any], *, file: str) -> ConfigError:
    return ConfigError("is not known.", file=file, key=one_line(key), advice=_nearest(name, known))


def _nearest(name: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(sorted(known))}."


def _is_settings(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Settings)


def _is_table(kind: Any) -> bool:
    return _is_settings(kind) or get_origin(kind) is dict


def _shown(path: Path) -> str:
    return clean(str(path))


# --- layers ---------------------------------------------------------------------------------------


def _overlaid(table: Mapping[str, Any], taken: list[str] | None, at: str = "") -> dict[str, Any]:
    """The table without its `-dev` twins; with them laid over when `taken`, which is told their names, is given."""
    plain: dict[str, Any] = {}
    for name, value in table.items():
        if not name.endswith(DEV):
            is_table = isinstance(value, dict)
            plain[name] = _overlaid(value, taken, f"{at}{name}.") if is_table else value
    for name, value in table.items():
        if taken is not None and name.endswith(DEV):
            taken.append(at + name)
            over = _overlaid(value, taken, f"{at}{name}.")
            plain[name.removesuffix(DEV)] = _merged(plain.get(name.removesuffix(DEV), {}), over)
    return plain


def _merged(under: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(under)
    for name, value in over.items():
        below = both.get(name)
        if isinstance(below, dict) and isinstance(value, dict):
            both[name] = _merged(below, value)
        else:
            both[name] = value
    return both


def _put(tables: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for name in path:
        tables = tables.setdefault(name, {})
    tables[last] = value


def _leaves(kind: type[Settings], at: str = "") -> Iterator[tuple[str, Any]]:
    for field in msgspec.structs.fields(kind):
        if _is_settings(field.type):
            yield from _leaves(field.type, f"{at}{field.name}.")
        else:
            yield at + field.name, field.type


def _environment(kind: type[Settings], environ: Mapping[str, str]) -> dict[str, tuple[str, Any]]:
    """Variable -> (dotted key, value) of those that are set; one that only looks like ours is a mistake."""
    types = dict(_leaves(kind))
    known = variables(kind)
    tables = tuple(
        f"DTS_{field.name.upper()}_"
        for field in msgspec.structs.fields(kind)
        if _is_table(field.type)
    )
    found: dict[str, tuple[str, Any]] = {}
    for name, text in environ.items():
        if name in known and text:
            key = known[name]
            found[name] = key, _from_text(text, types[key], name)
        elif name not in known and name.startswith(tables):
            raise ConfigError("is not known.", file=one_line(name), advice=_nearest(name, known))
    return found


def _from_text(text: str, kind: Any, name: str) -> Any:
    """A variable's value: lists by commas or as JSON, tables as JSON, the rest as it stands."""
    if get_origin(kind) is list and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    if get_origin(kind) in (list, dict):
        try:
            return _convert(json.loads(text), kind, file=name, key="")
        except (ValueError, RecursionError) as error:
            raise ConfigError("is no valid JSON.", file=name) from error
    return _convert(text, kind, file=name, key="", strict=False)
