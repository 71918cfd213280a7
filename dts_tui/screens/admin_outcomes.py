"""The same write to several documents, one after the other, and what became of each."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from dts_core.errors import ApiError, ServerUnreachable
from dts_core.text import clean
from dts_core.views import Dependents, Written
from dts_tui.admin_documents import Doc
from dts_tui.draw import Line, wrap
from dts_tui.screens.base import View
from dts_tui.widgets.overlays import Reader

AT_ONCE = 100
"""Most documents that are written together."""


class Outcome(NamedTuple):
    """What became of one: `why` is empty when it was done, or could be."""

    doc_id: str
    why: str = ""
    dependents: tuple[Dependents, ...] = ()


async def each_of(
    documents: Sequence[Doc], write: Callable[[Doc], Awaitable[Written]]
) -> list[Outcome]:
    """Write to them one by one; one that is refused does not stop the others, a server that is gone does."""
    out: list[Outcome] = []
    for each in documents:
        doc_id = str(each["_id"])
        try:
            written = await write(each)
        except ServerUnreachable:
            if not out:
                raise
            out.append(Outcome(doc_id, "the server did not answer: look whether it was done"))
            return out
        except ApiError as error:
            out.append(Outcome(doc_id, str(error)))
        else:
            out.append(Outcome(doc_id, "", tuple(written.dependents)))
    return out


def too_many(view: View, documents: Sequence[Doc], done: str) -> bool:
    """Whether these are more than are written together; says so."""
    if len(documents) <= AT_ONCE:
        return False
    view.console.notice(
        f"{len(documents)} are marked; at most {AT_ONCE} are {done} together", "warn"
    )
    return True


def tell_outcomes(view: View, outcomes: Sequence[Outcome], done: str) -> None:
    """What was refused, each with its reason, among what was done."""

    def make(width: int) -> list[Line]:
        out: list[Line] = []
        for each in outcomes:
            mark = ("✗ ", "bad") if each.why else ("✓ ", "good")
            out.append(
                [mark, (clean(each.doc_id, 200), "strong"), ("" if each.why else f" {done}", "dim")]
            )
            out += [
                [(f"    {line}", "text")]
                for line in wrap(clean(each.why, 2000), width - 4)
                if each.why
            ]
        return out

    view.console.open_overlay(Reader(f"not {done}", make))
