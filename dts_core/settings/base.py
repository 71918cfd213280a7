"""What all tables of settings share: kinds of values, and how a secret is kept from sight."""

import re
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(gt=0, le=366 * 86_400)]
Hours = Annotated[float, Meta(gt=0, le=366 * 24)]
Days = Annotated[float, Meta(gt=0, le=36_500)]
Count = Annotated[int, Meta(ge=1, le=1 << 40)]
Share = Annotated[float, Meta(ge=0, le=1)]
Url = Annotated[str, Meta(extra={"secret": "password"})]
"""May carry a password, which is never shown."""
Loop = Literal["auto", "uvloop", "asyncio"]


def secrecy(kind: Any) -> bool:
    """Whether values of this type may carry a secret."""
    metas = (each for each in get_args(kind) if isinstance(each, Meta))
    return any(meta.extra is not None and "secret" in meta.extra for meta in metas)


def masked(url: str) -> str:
    """The URL with what stands between `//` and the last `@` hidden, save the user's name; so in any text."""
    return re.sub(r"(//[^/@:\s]*):(?:\S*|[^/]*)@", r"\1:***@", url)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all tables. Its printed form hides secrets."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        values = (
            (field, getattr(self, field.name)) for field in msgspec.structs.fields(type(self))
        )
        return [(f.name, masked(value) if secrecy(f.type) else value) for f, value in values]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"
