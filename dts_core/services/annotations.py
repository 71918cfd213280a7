"""What an annotation in source means for a form and for a check, read from its syntax alone."""

import ast
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from dts_core.text import clean

ALIASES_MAX: Final = 8
"""How many names are followed from one annotation to its meaning."""
CHOICES_MAX: Final = 200

_TYPES: Final = {
    "str": "text",
    "int": "integer",
    "float": "number",
    "Decimal": "number",
    "bool": "switch",
    **dict.fromkeys(
        (
            "list",
            "List",
            "tuple",
            "Tuple",
            "set",
            "Set",
            "frozenset",
            "FrozenSet",
            "Sequence",
            "MutableSequence",
            "Iterable",
            "Collection",
            "AbstractSet",
            "deque",
        ),
        "list",
    ),
    **dict.fromkeys(("dict", "Dict", "Mapping", "MutableMapping", "TypedDict"), "mapping"),
    **dict.fromkeys(("Path", "PurePath", "PosixPath", "PurePosixPath", "PathLike"), "path"),
    "date": "date",
    "datetime": "datetime",
    **dict.fromkeys(("Secret", "SecretStr"), "secret"),
}
_ENUMS: Final = frozenset({"Enum", "StrEnum", "IntEnum"})


Names = dict[str, ast.expr | ast.ClassDef]
"""What stands behind a name."""


class Meaning(msgspec.Struct):
    """What is known of a value from its annotation."""

    type: str = "any"
    choices: list[Any] = []
    optional: bool = False
    help: str = ""
    secret: bool = False
    """Whether `Secret` stands anywhere in it."""


def names_of(module: ast.Module) -> Names:
    """What annotations of the module may refer to: its aliases, its classes, and what it imports under another name."""
    found: Names = {}
    for node in module.body:
        if isinstance(node, ast.ImportFrom):
            renamed = [each for each in node.names if each.asname and each.asname != each.name]
            found |= {str(each.asname): ast.Name(each.name) for each in renamed}
        elif isinstance(node, ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and node.value and isinstance(node.target, ast.Name):
            found[node.target.id] = node.value
    return found


def names_of_entry(entry: str, modules: Mapping[str, ast.Module]) -> Names:
    """As `names_of` for the module at the path `entry`, with what it imports from the modules beside it."""
    module = modules[entry]
    found = names_of(module)
    for node in module.body:
        if not isinstance(node, ast.ImportFrom) or node.level > 1 or node.module is None:
            continue
        path = node.module.replace(".", "/")
        beside = modules.get(f"{path}.py") or modules.get(f"{path}/__init__.py")
        known = names_of(beside) if beside is not None else {}
        found |= {
            each.asname or each.name: known[each.name] for each in node.names if each.name in known
        }
    return found


def meaning(
    node: ast.expr, names: Mapping[str, ast.expr | ast.ClassDef], hops: int = ALIASES_MAX
) -> Meaning:
    """The meaning of an annotation; what is not understood is `any`, which accepts everything."""
    found = _meaning(node, names, hops)
    if found.type == "secret":
        found.secret = True
    return found


def _meaning(node: ast.expr, names: Mapping[str, ast.expr | ast.ClassDef], hops: int) -> Meaning:
    if hops <= 0:
        return Meaning()
    if isinstance(node, ast.Constant):
        return _constant(node.value, names, hops)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union(_alternatives(node), names, hops)
    if isinstance(node, ast.Subscript):
        return _subscript(node, names, hops)
    if isinstance(node, ast.Name) and node.id in names:
        known = names[node.id]
        return _class(known) if isinstance(known, ast.ClassDef) else meaning(known, names, hops - 1)
    return Meaning(type=_TYPES.get(_last_name(node), "any"))


def literal(node: ast.expr) -> Any:
    """The JSON value that an expression stands for.

    Raises:
        ValueError: It is no literal, or none that JSON has.
    """
    try:
        value = ast.literal_eval(node)
        value = list(value) if isinstance(value, tuple) else value
        if msgspec.json.decode(msgspec.json.encode(value)) != value:  # a set, bytes, an odd key
            raise ValueError(value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError("no JSON literal") from error
    return value


def _constant(value: Any, names: Mapping[str, ast.expr | ast.ClassDef], hops: int) -> Meaning:
    if value is None:
        return Meaning(optional=True)
    if isinstance(value, str):  # an annotation in quotes
        try:
            return meaning(ast.parse(value, mode="eval").body, names, hops - 1)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return Meaning()
    return Meaning()


def _alternatives(node: ast.expr) -> list[ast.expr]:
    """The parts of `a | b | c`, without recursion: a source may nest them deeply."""
    parts, stack = [], [node]
    while stack:
        part = stack.pop()
        if isinstance(part, ast.BinOp) and isinstance(part.op, ast.BitOr):
            stack += (part.right, part.left)
        else:
            parts.append(part)
    return parts


def _union(
    parts: list[ast.expr], names: Mapping[str, ast.expr | ast.ClassDef], hops: int
) -> Meaning:
    known = [meaning(part, names, hops - 1) for part in parts[:20]]
    nothing = [isinstance(part, ast.Constant) and part.value is None for part in parts[:20]]
    rest = [each for each, none in zip(known, nothing, strict=True) if not none]
    optional = any(nothing) or any(each.optional for each in rest)
    kinds = {each.type for each in rest}
    if any(each.secret for each in rest) and len(rest) > 1:
        kind = "secret" if kinds <= {"secret", "text"} else "any"
        return Meaning(kind, [], optional, secret=True)
    if len(rest) == 1:
        return Meaning(rest[0].type, rest[0].choices, optional, rest[0].help, rest[0].secret)
    if kinds == {"choice"}:
        return Meaning("choice", [item for each in rest for item in each.choices], optional)
    if kinds <= {"integer", "number"} and kinds:
        return Meaning("number" if "number" in kinds else "integer", [], optional)
    if kinds <= {"text", "path"} and kinds:
        return Meaning("path" if "path" in kinds else "text", [], optional)
    return Meaning("any", [], optional)


def _subscript(
    node: ast.Subscript, names: Mapping[str, ast.expr | ast.ClassDef], hops: int
) -> Meaning:
    outer = _last_name(node.value)
    inner = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
    if outer == "Literal":
        return _literal(inner)
    if outer == "Optional":
        found = meaning(inner[0], names, hops - 1)
        return Meaning(found.type, found.choices, True, found.help, found.secret)
    if outer == "Union":
        return _union(inner, names, hops)
    if outer == "Annotated" and inner:
        found = meaning(inner[0], names, hops - 1)
        for note in inner[1:]:
            if isinstance(note, ast.Constant) and isinstance(note.value, str):
                found.help = clean(note.value, 1000)
            elif meaning(note, names, hops - 1).secret:  # Annotated[str, Secret]
                found.secret = True
                found.type = "secret" if found.type == "text" else found.type
        return found
    if outer in ("Final", "Required", "NotRequired"):
        return meaning(inner[0], names, hops - 1)
    within = any(meaning(part, names, hops - 1).secret for part in inner[:20])
    return Meaning(type=_TYPES.get(outer, "any"), secret=within)


def _literal(parts: list[ast.expr]) -> Meaning:
    choices = []
    for part in parts[:CHOICES_MAX]:
        try:
            choices.append(literal(part))
        except ValueError:
            return Meaning()
    optional = None in choices
    return Meaning("choice", [choice for choice in choices if choice is not None], optional)


def _class(node: ast.ClassDef) -> Meaning:
    """An enumeration offers its values; any other class accepts everything."""
    bases = {_last_name(base) for base in node.bases}
    if "TypedDict" in bases:
        return Meaning("mapping")
    if not bases & _ENUMS:
        return Meaning()
    choices = []
    for item in node.body[:CHOICES_MAX]:
        if isinstance(item, ast.Assign):
            try:
                choices.append(literal(item.value))
            except ValueError:
                return Meaning()
    return Meaning("choice", choices) if choices else Meaning()


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
