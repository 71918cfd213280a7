"""A function's source, read by parsing: whether it is Python, whether it has a `main`, and what `main` takes.

Nothing of it is ever imported or run here.
"""

import ast
import hashlib
import inspect
from typing import Any, Final

import msgspec

from dts_core.errors import FunctionRefused
from dts_core.model import Parameter
from dts_core.pep723 import Script, read_script, refuse_unclosed
from dts_core.runner.bundle import BadBundle, entry_source, is_bundle, split
from dts_core.services.annotations import Meaning, Names, literal, meaning, names_of_entry
from dts_core.services.docstrings import read_docstring
from dts_core.text import clean, one_line

SOURCE_MAX: Final = 1 << 20
"""Largest source, in bytes of UTF-8."""
PARAMETERS_MAX: Final = 200
DEFAULT_MAX: Final = 10_000
"""Longest default that is kept as a value, in characters of source."""
Definition = ast.FunctionDef | ast.AsyncFunctionDef


class Reading(msgspec.Struct, frozen=True):
    """What a source says of itself."""

    hash: str
    """sha256 of its UTF-8 bytes, hex"""
    size: int
    is_async: bool
    summary: str
    doc: str
    parameters: list[Parameter]
    requires_python: str = ""
    dependencies: list[str] = []


def read_source(source: str) -> Reading:
    """Parse a function's source. The largest take seconds and hold the interpreter's lock: see `reading`.

    Raises:
        FunctionRefused: Too large, not Python (names the line), without a `main` at its top level, or its script
            block is wrong.
    """
    data = encode_source(source)
    entry, modules = _modules(data, source)
    module, own = modules[entry], _entry_text(data, source)
    refuse_unclosed(own)
    script = read_script(own) or Script()
    main = _main(module, entry)
    document = read_docstring(_docstring(main) or _docstring(module))
    return Reading(
        hash=hashlib.sha256(data).hexdigest(),
        size=len(data),
        is_async=isinstance(main, ast.AsyncFunctionDef),
        summary=document.summary,
        doc=document.text,
        parameters=_parameters(main, names_of_entry(entry, modules), document.parameters),
        requires_python=script.requires_python,
        dependencies=script.dependencies,
    )


def encode_source(source: str) -> bytes:
    """The source's bytes.

    Raises:
        FunctionRefused: No text, or more than SOURCE_MAX bytes.
    """
    try:
        data = source.encode()
    except UnicodeEncodeError as error:
        raise FunctionRefused(
            f"the source is not valid text at character {error.start}.", advice="Save it as UTF-8."
        ) from error
    if len(data) > SOURCE_MAX:
        raise FunctionRefused(
            f"the source has {len(data)} bytes, more than {SOURCE_MAX}.",
            advice="Move data out of the source.",
        )
    return data


def _entry_text(data: bytes, source: str) -> str:
    return entry_source(data).decode() if is_bundle(data) else source


def _modules(data: bytes, source: str) -> tuple[str, dict[str, ast.Module]]:
    """The path of the entry, and every module by path; a single source has the path ''."""
    if not is_bundle(data):
        return "", {"": _parsed(source)}
    try:
        entry, files = split(data)
        texts = {path: content.decode() for path, content in files.items()}
    except (BadBundle, UnicodeDecodeError) as error:
        raise FunctionRefused(
            f"the folder is refused: {clean(str(error), 400)}.",
            advice="`dts functions push NS/NAME FOLDER` makes one of a folder.",
        ) from error
    return entry, {path: _parsed(text, path) for path, text in texts.items()}


def _parsed(source: str, path: str = "") -> ast.Module:
    what = path or "the source"
    try:
        return ast.parse(source)
    except SyntaxError as error:
        where = f"line {error.lineno}: " if error.lineno else ""
        raise FunctionRefused(
            f"{what} is not Python: {where}{one_line(error.msg or 'invalid syntax')}.",
            advice="Correct it and save again.",
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        reason = one_line(str(error)) or "it is nested too deeply"
        raise FunctionRefused(
            f"{what} cannot be parsed: {reason}.", advice="Correct it and save again."
        ) from error


def _main(module: ast.Module, path: str) -> Definition:
    for node in reversed(module.body):
        if isinstance(node, Definition) and node.name == "main":
            return node
    raise FunctionRefused(
        f"{path or 'the source'} has no main at its top level.",
        advice="Define it: def main(...): ...",
    )


def _docstring(node: Definition | ast.Module) -> str:
    return inspect.cleandoc(ast.get_docstring(node, clean=False) or "")


def _parameters(main: Definition, names: Names, helps: dict[str, str]) -> list[Parameter]:
    arguments = main.args
    by_position = [*arguments.posonlyargs, *arguments.args]
    unset: list[ast.expr | None] = [None] * (len(by_position) - len(arguments.defaults))
    wanted: list[tuple[str, ast.arg, ast.expr | None]] = [
        ("positional", each, default)
        for each, default in zip(by_position, [*unset, *arguments.defaults], strict=True)
    ]
    if arguments.vararg:
        wanted.append(("var_positional", arguments.vararg, None))
    wanted += [
        ("keyword", each, default)
        for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    if arguments.kwarg:
        wanted.append(("var_keyword", arguments.kwarg, None))
    if len(wanted) > PARAMETERS_MAX:
        raise FunctionRefused(f"main takes more than {PARAMETERS_MAX} parameters.")
    made = []
    for kind, each, default in wanted:
        means = meaning(each.annotation, names) if each.annotation else Meaning()
        means.help = helps.get(each.arg, "") or means.help
        made.append(_parameter(kind, each, default, means))
    return made


def _parameter(kind: str, each: ast.arg, default: ast.expr | None, means: Meaning) -> Parameter:
    value, text = _default(default)
    shown = means.type
    if each.annotation is None and default is not None and not text:
        shown = _type_of(value)
    none = isinstance(default, ast.Constant) and default.value is None
    return Parameter(
        name=clean(each.arg, 200),
        kind=kind,
        type=shown,
        annotation=_written(each.annotation),
        choices=means.choices,
        optional=means.optional or none,
        required=default is None and not kind.startswith("var_"),
        default=value,
        default_text=text,
        help=means.help,
        secret=means.secret,
    )


def _default(node: ast.expr | None) -> tuple[Any, str]:
    """The default's JSON value, or its source when it is no literal."""
    if node is None:
        return None, ""
    text = _written(node)
    if len(text) >= DEFAULT_MAX:
        return None, text
    try:
        return literal(node), ""
    except ValueError:
        return None, text


def _written(node: ast.expr | None) -> str:
    if node is None:
        return ""
    try:
        return clean(ast.unparse(node), DEFAULT_MAX)
    except (RecursionError, ValueError):
        return "…"


_BY_VALUE: Final = {
    bool: "switch",
    int: "integer",
    float: "number",
    str: "text",
    list: "list",
    dict: "mapping",
}


def _type_of(value: Any) -> str:
    """For a form: the type of an unannotated parameter by its default. It is not enforced."""
    return _BY_VALUE.get(type(value), "any")


def written_signature(parameters: list[Parameter], *, limit: int = 200) -> str:
    """`main(path: str, depth: int = 1)`, for messages."""
    parts, star = [], False
    for each in parameters:
        prefix = {"var_positional": "*", "var_keyword": "**"}.get(each.kind, "")
        if each.kind == "keyword" and not star:
            parts.append("*")
        star = star or each.kind in ("keyword", "var_positional")
        text = prefix + each.name + (f": {each.annotation}" if each.annotation else "")
        if not each.required and not prefix:
            text += f" = {each.default_text or repr(each.default)}"
        parts.append(text)
    return clean(f"main({', '.join(parts)})", limit)
