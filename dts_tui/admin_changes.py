"""One field of several documents changed together: what was typed, and what each of them becomes. No Textual here."""

from typing import Any, Final

from dts_core.model import Parameter
from dts_core.plain import typed
from dts_core.views import CollectionView
from dts_tui.admin_documents import Doc
from dts_tui.admin_form import DocumentField
from dts_tui.forms import FieldError, Omitted

SENSITIVE: Final = frozenset({"role", "disabled"})
"""Fields whose change for several at once has to be typed."""
_HOW: Final = {
    "list": "ops, -dev   adds and takes away;  =ops, dev   these and no others",
    "mapping": "env=prod, -team   sets and takes away",
}


def settable(view: CollectionView) -> list[Parameter]:
    """Fields that can be changed for several: neither the name, nor secret, nor a text of several lines."""
    return [
        each
        for each in view.fields
        if each.name != "_id" and each.type != "secret" and each.annotation != "lines"
    ]


def how_to(item: Parameter) -> str:
    """What to type for it."""
    choices = ", ".join(str(each) for each in item.choices)
    return _HOW.get(item.type, choices or ("true or false" if item.type == "switch" else item.help))


def becomes(item: Parameter, before: Any, text: str) -> Any:
    """The value of a field after what was typed.

    Args:
        item: The field.
        before: Its value now.
        text: A value; for a list `+a, -b` or `=a, b`; for a map `a=x, -b`.

    Raises:
        FieldError: The text is no change of this field.
    """
    if item.type == "list":
        return _list(list(before or []), text)
    if item.type == "mapping":
        return _mapping(dict(before or {}), text)
    field = DocumentField(
        name=item.name, type=item.type, label=item.name, required=item.required,
        choices=tuple(item.choices), default=item.default,
    )  # fmt: skip
    value = field.value(text)
    return item.default if isinstance(value, Omitted) else value


def _list(values: list[Any], text: str) -> list[Any]:
    if text.lstrip().startswith("="):
        try:
            read: list[Any] = typed.read_list(text.lstrip()[1:])
        except ValueError:
            raise FieldError(_HOW["list"]) from None
        return read
    for part in _parts(text, "list"):
        name = part.lstrip("+-").strip()
        if not name:
            raise FieldError(_HOW["list"])
        if part.startswith("-"):
            values = [each for each in values if each != name]
        elif name not in values:
            values.append(name)
    return values


def _mapping(values: dict[str, Any], text: str) -> dict[str, Any]:
    for part in _parts(text, "mapping"):
        if part.startswith("-"):
            values.pop(part[1:].strip(), None)
            continue
        at = min((part.find(sign) for sign in "=:" if sign in part), default=-1)
        if at < 1:
            raise FieldError(_HOW["mapping"])
        values[part[:at].strip()] = part[at + 1 :].strip()
    return values


def _parts(text: str, kind: str) -> list[str]:
    parts = [each.strip() for each in text.split(",") if each.strip()]
    if not parts:
        raise FieldError(_HOW[kind])
    return parts


def planned(documents: list[Doc], item: Parameter, text: str) -> list[tuple[Doc, Any]]:
    """Each document whose field becomes another value, with that value.

    Raises:
        FieldError: The text is no change of this field.
    """
    found = [(each, becomes(item, each.get(item.name, item.default), text)) for each in documents]
    return [(each, value) for each, value in found if value != each.get(item.name, item.default)]
