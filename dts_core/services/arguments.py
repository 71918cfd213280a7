"""Whether a call's arguments fit the function's signature, in Python's own words."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, Protocol

import msgspec

from dts_core.codec import check_json_depth
from dts_core.errors import CodecError, InvalidInput, TooLarge
from dts_core.model import ARGS_MAX, Parameter
from dts_core.services.signature import written_signature
from dts_core.text import clean

_list_decoder: Final = msgspec.json.Decoder(list[Any])
_dict_decoder: Final = msgspec.json.Decoder(dict[str, Any])
_WORDS: Final = {
    "text": "a text",
    "secret": "a text",
    "path": "a path (a text)",
    "integer": "an integer",
    "number": "a number",
    "switch": "true or false",
    "list": "a list",
    "mapping": "a mapping",
    "date": "a date such as 2026-03-01 (a text)",
    "datetime": "a date and time such as 2026-03-01T12:00:00Z (a text)",
}


class ArgumentCheck:
    """The check of one version of one function, made once and used for every submission.

    Values of parameters without an annotation are not checked: their author said nothing.
    """

    def __init__(self, function: str, parameters: Sequence[Parameter]) -> None:
        self._function = function
        self._parameters = list(parameters)
        self._positional = [each for each in parameters if each.kind == "positional"]
        named = [each for each in parameters if each.kind in ("positional", "keyword")]
        self._named = {each.name: each for each in named}
        self._rest = next((each for each in parameters if each.kind == "var_positional"), None)
        self._others = next((each for each in parameters if each.kind == "var_keyword"), None)
        self._required = [each for each in named if each.required]
        self.has_secrets = any(each.is_secret for each in parameters)

    def check(self, args: bytes, kwargs: bytes, *, sealed: bool = False) -> None:
        """Let pass arguments that fit.

        Args:
            args: JSON array.
            kwargs: JSON object.
            sealed: Whether secrets were taken out of them already: their values are not looked at then.

        Raises:
            TooLarge: More than ARGS_MAX bytes together.
            InvalidInput: They are not JSON of that shape, or do not fit; `fields` names each parameter.
        """
        if len(args) + len(kwargs) > ARGS_MAX:
            raise TooLarge(
                f"the arguments have {len(args) + len(kwargs)} bytes, more than {ARGS_MAX}.",
                advice="Pass a path or a reference instead of the data.",
            )
        if args == b"[]" and kwargs == b"{}" and not self._required:
            return
        wrong = self._wrong(_list(args), _dict(kwargs), _judge_open if sealed else _judge)
        if wrong:
            first, why = next(iter(wrong.items()))
            raise InvalidInput(
                f"the arguments do not fit {self._function}: {first}: {why}.",
                fields=wrong,
                advice=f"Its signature is {written_signature(self._parameters)}.",
            )

    def secret_places(self, args: bytes, kwargs: bytes) -> dict[str, str]:
        """Where arguments that fit have secrets: `args/INDEX` or `kwargs/NAME` -> the parameter."""
        if not self.has_secrets or (args == b"[]" and kwargs == b"{}"):
            return {}
        count = len(_list(args))
        taken = [*self._positional[:count], *[self._rest] * (count - len(self._positional))]
        found = {f"args/{at}": each for at, each in enumerate(taken)}
        for name in _dict(kwargs):
            found[f"kwargs/{name}"] = self._named.get(name, self._others)
        return {
            place: each.name for place, each in found.items() if each is not None and each.is_secret
        }

    def _wrong(self, args: list[Any], kwargs: dict[str, Any], judge: "_Judge") -> dict[str, str]:
        """Parameter -> what is wrong with it."""
        wrong: dict[str, str] = {}
        taken = set()
        for each, value in zip(self._positional, args, strict=False):
            taken.add(each.name)
            judge(each, value, wrong)
        extra = args[len(self._positional) :]
        if extra and self._rest is None:
            wrong["args"] = (
                f"too many positional arguments: {len(args)} given, {len(self._positional)} taken"
            )
        elif self._rest is not None:
            for value in extra:
                judge(self._rest, value, wrong)
        for name, value in kwargs.items():
            if name in taken:
                wrong[name] = "multiple values for this argument"
            elif (known := self._named.get(name)) is not None:
                taken.add(name)
                judge(known, value, wrong)
            elif self._others is not None:
                judge(self._others, value, wrong, name)
            else:
                wrong[clean(name, 80)] = "got an unexpected keyword argument"
        for each in self._required:
            if each.name not in taken:
                wrong.setdefault(each.name, "missing a required argument")
        return dict(list(wrong.items())[:50])


class _Judge(Protocol):
    def __call__(
        self, parameter: Parameter, value: Any, wrong: dict[str, str], name: str = ""
    ) -> None: ...


def _judge_open(parameter: Parameter, value: Any, wrong: dict[str, str], name: str = "") -> None:
    if not parameter.is_secret:
        _judge(parameter, value, wrong, name)


def _judge(parameter: Parameter, value: Any, wrong: dict[str, str], name: str = "") -> None:
    if not parameter.annotation or (value is None and parameter.optional):
        return
    shown = "another kind of value" if parameter.is_secret else _shown(value)
    if parameter.type == "choice":
        if not any(value == choice and type(value) is type(choice) for choice in parameter.choices):
            offered = ", ".join(_shown(choice) for choice in parameter.choices[:12])
            wrong[clean(name or parameter.name, 80)] = f"expected one of {offered}, got {shown}"
        return
    fits = _FITS.get(parameter.type)
    if fits is not None and not fits(value):
        wrong[clean(name or parameter.name, 80)] = f"expected {_WORDS[parameter.type]}, got {shown}"


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _is_date(value: Any) -> bool:
    return isinstance(value, str) and _parses(date.fromisoformat, value)


def _is_datetime(value: Any) -> bool:
    return isinstance(value, str) and _parses(datetime.fromisoformat, value)


def _parses(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


_FITS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "text": _is_text,
    "secret": _is_text,
    "path": _is_text,
    "integer": _is_integer,
    "number": _is_number,
    "switch": _is_switch,
    "list": _is_list,
    "mapping": _is_mapping,
    "date": _is_date,
    "datetime": _is_datetime,
}


def _shown(value: Any) -> str:
    """A JSON value for a message: its text when short, else its kind."""
    kinds = {
        dict: "a mapping",
        list: "a list",
        type(None): "null",
        bool: "true" if value else "false",
    }
    if type(value) in kinds:
        return kinds[type(value)]
    return clean(msgspec.json.encode(value).decode(), 60)


def _list(text: bytes) -> list[Any]:
    decoded: list[Any] = _decoded(_list_decoder, text, "args", "a JSON array")
    return decoded


def _dict(text: bytes) -> dict[str, Any]:
    decoded: dict[str, Any] = _decoded(_dict_decoder, text, "kwargs", "a JSON object")
    return decoded


def _decoded(decoder: msgspec.json.Decoder[Any], text: bytes, name: str, shape: str) -> Any:
    try:
        check_json_depth(text)
        return decoder.decode(text)
    except (msgspec.DecodeError, CodecError, RecursionError, UnicodeDecodeError) as error:
        reason = clean(str(error), 200).rstrip(".")
        raise InvalidInput(
            f"{name} must be {shape}: {reason}.", fields={name: f"{shape}: {reason}"}
        ) from error
