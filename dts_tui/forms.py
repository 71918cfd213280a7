"""The form made from a function's signature.

What a field accepts, and the value that typed text becomes. No Textual here.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

from dts_core.model import Parameter

_KINDS = {
    "text": "text",
    "integer": "whole number",
    "number": "number",
    "switch": "yes or no",
    "choice": "one of a list",
    "list": "JSON list",
    "mapping": "JSON object",
    "path": "path on the host",
    "date": "date, 2026-03-01",
    "datetime": "time, 2026-03-01T12:00",
    "secret": "secret",
    "any": "JSON",
}


HIDDEN = "••••"


class Omitted:
    """Says: leave this argument out, so that the function's own default counts."""


OMITTED = Omitted()


class FieldError(ValueError):
    """The text is no value of this field; the message is for the person who types."""


@dataclass(frozen=True)
class Field:
    """One line of the form."""

    name: str
    type: str
    label: str
    help: str = ""
    required: bool = False
    optional: bool = False
    choices: tuple[Any, ...] = ()
    start: str = ""
    """What stands in the field at first."""
    unset: str = ""
    """What an empty field means, in words."""
    group: str = "arguments"
    lines: bool = False
    """Whether it is a text of several lines."""
    secret: bool = False
    """Whether what is typed is never shown, kept or copied."""

    @property
    def wants(self) -> str:
        """What kind of value it takes, in words."""
        return _KINDS.get(self.type, "JSON")

    def value(self, text: str) -> Any:
        """The JSON value of what was typed; OMITTED when the field is left to its default.

        Raises:
            FieldError: It is required and empty, or does not fit.
        """
        if text == "" and not (self.type == "text" and self.required):
            if self.required and not self.optional:
                raise FieldError("needs a value")
            return None if self.optional and self.required else OMITTED
        if self.optional and text == "null":
            return None
        return _READERS.get(self.type, _json)(self, text)


def _text(item: Field, text: str) -> str:
    del item
    return text


def _integer(item: Field, text: str) -> int:
    del item
    try:
        return int(text.replace("_", "").replace(",", "").strip())
    except ValueError:
        raise FieldError("a whole number, for example 42") from None


def _number(item: Field, text: str) -> float:
    del item
    try:
        value = float(text.strip())
    except ValueError:
        raise FieldError("a number, for example 0.5") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise FieldError("a finite number")
    return value


def _switch(item: Field, text: str) -> bool:
    del item
    word = text.strip().casefold()
    if word in ("true", "yes", "on", "1"):
        return True
    if word in ("false", "no", "off", "0"):
        return False
    raise FieldError("yes or no")


def _choice(item: Field, text: str) -> Any:
    for choice in item.choices:
        if shown(choice) == text:
            return choice
    raise FieldError("one of " + ", ".join(shown(choice) for choice in item.choices))


def _json(item: Field, text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        where = f" (column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise FieldError(f"not valid JSON{where}") from None
    if item.type == "list" and not isinstance(value, list):
        raise FieldError('a JSON list, for example ["a", "b"]')
    if item.type == "mapping" and not isinstance(value, dict):
        raise FieldError('a JSON object, for example {"a": 1}')
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _any(item: Field, text: str) -> Any:
    """JSON where it is JSON, otherwise plain text: what people mean when no type is given."""
    try:
        return _json(item, text)
    except FieldError:
        if text[:1] in '[{"':
            raise
        return text


def _date(item: Field, text: str) -> str:
    del item
    try:
        return date.fromisoformat(text.strip()).isoformat()
    except ValueError:
        raise FieldError("a date, for example 2026-03-01") from None


def _datetime(item: Field, text: str) -> str:
    del item
    try:
        return datetime.fromisoformat(text.strip()).isoformat()
    except ValueError:
        raise FieldError("a time, for example 2026-03-01T12:00") from None


_READERS = {
    "text": _text,
    "path": _text,
    "secret": _text,
    "integer": _integer,
    "number": _number,
    "switch": _switch,
    "choice": _choice,
    "list": _json,
    "mapping": _json,
    "any": _any,
    "date": _date,
    "datetime": _datetime,
}


def shown(value: Any) -> str:
    """A value as it is typed: text bare, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def fields_of(parameters: Sequence[Parameter]) -> list[Field]:
    """One field a parameter, in the order of the signature."""
    return [_field(parameter) for parameter in parameters]


def _field(item: Parameter) -> Field:
    kind = item.type
    if item.kind == "var_positional":
        kind = "list"
    elif item.kind == "var_keyword":
        kind = "mapping"
    variadic = item.kind.startswith("var_")
    literal = (
        not item.required and not variadic and not item.default_text and item.default is not None
    )
    start = shown(item.default) if literal and not item.is_secret else ""
    if kind == "switch" and not start:
        start = "false" if item.required else ""
    if kind == "choice" and not start and item.choices and item.required:
        start = shown(item.choices[0])
    return Field(
        name=item.name,
        type=kind,
        label=f"*{item.name}"
        if item.kind == "var_positional"
        else f"**{item.name}"
        if item.kind == "var_keyword"
        else item.name,
        help=item.help,
        required=item.required and not variadic,
        optional=item.optional,
        choices=tuple(item.choices),
        start=start,
        unset=_unset(item, variadic),
        secret=item.is_secret,
    )


def _unset(item: Parameter, variadic: bool) -> str:
    if variadic:
        return "none"
    if item.required:
        return ""
    return item.default_text or shown(item.default)


OPTIONS = (
    Field(
        "queue",
        "text",
        "queue",
        "Workers that take from it run the job.",
        unset="default",
        group="options",
    ),
    Field("host", "text", "host", "Run on this host only.", unset="any", group="options"),
    Field(
        "timeout_seconds",
        "number",
        "timeout",
        "Most seconds of one attempt.",
        unset="none",
        group="options",
    ),
    Field(
        "retries",
        "integer",
        "retries",
        "Failed attempts to try again.",
        unset="0",
        group="options",
    ),
    Field(
        "delay_seconds",
        "number",
        "delay",
        "Start this many seconds from now.",
        unset="0",
        group="options",
    ),
    Field("priority", "integer", "priority", "0 to 9, higher first.", unset="0", group="options"),
)


class Filled(NamedTuple):
    """A form that can be sent."""

    args: list[Any]
    kwargs: dict[str, Any]
    options: dict[str, Any]


@dataclass
class Form:
    """The texts of all fields; says at any time what is wrong, and gives the call when nothing is."""

    parameters: Sequence[Parameter]
    host: str = ""
    options: Sequence[Field] = OPTIONS
    fields: list[Field] = field(init=False)
    texts: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.fields = [*fields_of(self.parameters), *self.options]
        self.texts = {_key(item): item.start for item in self.fields}
        if self.host:
            self.texts["options.host"] = self.host

    def error(self, item: Field) -> str:
        """What is wrong with a field as it stands; empty when nothing is."""
        try:
            value = item.value(self.texts[_key(item)])
        except FieldError as error:
            return str(error)
        return _bounds(item, value)

    def errors(self) -> dict[str, str]:
        """Every wrong field (by key) with its reason."""
        return {_key(item): why for item in self.fields if (why := self.error(item))}

    def set(self, item: Field, text: str) -> None:
        """Note what was typed."""
        self.texts[_key(item)] = text

    def text(self, item: Field) -> str:
        """What stands in the field."""
        return self.texts[_key(item)]

    def filled(self) -> Filled:
        """The call that this form describes; only valid while `errors` is empty.

        Raises:
            FieldError: A field is wrong.
        """
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        options: dict[str, Any] = {}
        rest: list[Any] = []
        for item, parameter in zip(self.fields, self.parameters, strict=False):
            value = item.value(self.text(item))
            if isinstance(value, Omitted):
                continue
            if parameter.kind == "var_positional":
                rest = list(value)
            elif parameter.kind == "var_keyword":
                kwargs.update(value)
            elif parameter.kind == "positional_only":
                args.append(value)
            else:
                kwargs[item.name] = value
        if rest:
            args, kwargs = _positionally(self.parameters, args, kwargs, rest)
        for item in self.options:
            value = item.value(self.text(item))
            if not isinstance(value, Omitted):
                options[item.name] = value
        return Filled(args, kwargs, options)

    def secrets(self) -> frozenset[str]:
        """Names of the arguments that are never shown."""
        return frozenset(item.name for item in self.fields if item.secret)


def _positionally(
    parameters: Sequence[Parameter], args: list[Any], kwargs: dict[str, Any], rest: list[Any]
) -> tuple[list[Any], dict[str, Any]]:
    """With *args, what stands before it must be given by position as well."""
    kwargs = dict(kwargs)
    for parameter in parameters:
        if parameter.kind == "var_positional":
            break
        if parameter.kind == "positional":
            args = [*args, kwargs.pop(parameter.name, parameter.default)]
    return [*args, *rest], kwargs


def _bounds(item: Field, value: Any) -> str:
    if item.group != "options" or isinstance(value, Omitted):
        return ""
    if item.name == "priority" and not 0 <= value <= 9:
        return "0 to 9"
    if item.type in ("integer", "number") and value < 0:
        return "not below 0"
    return ""


def _key(item: Field) -> str:
    return f"options.{item.name}" if item.group == "options" else item.name


def key_of(item: Field) -> str:
    """The key under which a field's text and error are kept."""
    return _key(item)


def masked(filled: Filled, secrets: frozenset[str]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments with every secret replaced, for showing; by position all of them, since any may be one."""
    args = [HIDDEN if secrets else value for value in filled.args]
    return args, {
        name: HIDDEN if name in secrets else value for name, value in filled.kwargs.items()
    }
