"""What a file of a collection may hold, by what the server says of the collection."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from dts_core.model import Parameter
from dts_core.text import clean
from dts_core.views import CollectionView

__all__ = ["Form", "forms_of"]

# Which version is the default one follows from the source; what is tried beside it passes.
_FOLLOWS: Final = {"functions": frozenset({"default", "canary", "canary_share", "canary_hosts"})}
_EMPTY: Final[Mapping[str, Any]] = {"text": "", "list": [], "mapping": {}}


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """Fields of a collection, in the server's order."""

    name: str
    one: str
    """What a document of it is called."""
    fields: Mapping[str, Parameter]
    """Those that a file may hold."""
    secrets: frozenset[str]
    """Those that none may hold."""

    def mistakes(self, given: Mapping[str, Any]) -> dict[str, str]:
        """Field -> why it is wrong, as far as that shows without the server: unknown, secret, missing."""
        wrong = {name: self._why_not(name) for name in given if name not in self.fields}
        for name, field in self.fields.items():
            if field.required and name not in given:
                wrong[name] = "required"
        return wrong

    def filled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The fields with the defaults of those that are left out."""
        return {
            name: given[name] if name in given else _default(field)
            for name, field in self.fields.items()
        }

    def _why_not(self, name: str) -> str:
        if name in self.secrets:
            return "a secret has no place in this folder: give it in --secrets-file"
        near = difflib.get_close_matches(name, self.fields, n=1)
        return f"unknown field; did you mean {near[0]}?" if near else "unknown field"


def forms_of(views: Iterable[CollectionView]) -> dict[str, Form]:
    """The forms of the server's collections, by name."""
    return {
        each.name: Form(
            name=each.name,
            one=clean(each.one, 60),
            fields={
                field.name: field
                for field in each.fields
                if field.name.isidentifier()
                and field.name != "_id"
                and field.type != "secret"
                and field.name not in _FOLLOWS.get(each.name, ())
            },
            secrets=frozenset(
                field.name
                for field in each.fields
                if field.type == "secret" and field.name.isidentifier()
            ),
        )
        for each in views
    }


def _default(field: Parameter) -> Any:
    return _EMPTY.get(field.type) if field.default is None else field.default
