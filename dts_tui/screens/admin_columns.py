"""Columns of the lists of users, namespaces and virtual hosts."""

from collections.abc import Callable
from typing import Any

from dts_tui.admin_documents import Doc, text_of
from dts_tui.safe import whole
from dts_tui.widgets.table import Column


def _column(
    title: str, width: int, *, of: str = "", style: str = "text", **more: Any
) -> Column[Doc]:
    name = of or title
    return Column(
        title,
        lambda doc, room: (whole(text_of(doc.get(name)).replace("\n", " ")), style),
        width,
        field=name,
        **more,
    )


def _kept_out(doc: Doc, width: int) -> tuple[str, str]:
    del width
    return ("⊘ disabled", "warn") if doc.get("disabled") else ("● on", "good")


def _address(doc: Doc, width: int) -> tuple[str, str]:
    del width
    port = doc.get("port", 22)
    return whole(f"{doc.get('address', '')}{'' if port == 22 else f':{port}'}"), "text"


def _login(doc: Doc, width: int) -> tuple[str, str]:
    del width
    held = [
        word for name, word in (("has_key", "key"), ("has_password", "password")) if doc.get(name)
    ]
    return whole(f"{doc.get('auth', '')}{' (' + ', '.join(held) + ')' if held else ''}"), "dim"


def columns(collection: str, moment: Callable[[Doc, int], tuple[str, str]]) -> list[Column[Doc]]:
    """The columns of a collection; `moment` makes the cell of a time of change."""
    name = _column("name", 16, of="_id", style="strong", grow=2, most=40, keep=9)
    updated = Column[Doc]("changed", moment, 12, align="right", keep=4, field="updated_at")
    state = Column[Doc]("state", _kept_out, 10, keep=7, field="disabled")
    if collection == "users":
        return [
            name,
            _column("role", 9, style="accent", keep=8),
            state,
            _column("groups", 12, style="dim", grow=2, most=40, keep=5),
            _column("address", 16, grow=2, most=40, keep=3),
            updated,
        ]
    if collection == "namespaces":
        return [
            name,
            _column("members", 20, style="accent", grow=3, keep=8),
            _column("description", 16, style="dim", grow=4, keep=5),
            updated,
        ]
    return [
        name,
        Column("address", _address, 15, grow=2, most=40, keep=8, field="address"),
        _column("user", 8, grow=1, most=20, keep=6),
        Column("login", _login, 12, grow=1, most=20, keep=5, field="auth"),
        state,
        _column("mode", 7, style="dim", keep=2),
        _column("labels", 10, style="dim", grow=2, keep=3),
        updated,
    ]
