"""Ids of documents, completed by the shell."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from dts_core.cli.client_common import Where
from dts_core.errors import DtsError
from dts_core.text import clean

F = TypeVar("F", bound=Callable[..., Any])
COMPLETED: Final = 50
"""Ids that a shell is offered."""


def id_argument(name: str) -> Callable[[F], F]:
    """The id of a document that there is, completed by the shell."""
    return click.argument("doc_id", metavar="ID", shell_complete=completing(name))


def completing(name: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """What a shell asks for the ids of a collection; nothing when the server cannot be asked."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        del param
        url, context, data = (ctx.params.get(each) or "" for each in ("url", "context", "data"))
        try:
            with Where(url, context, data, as_json=False).client() as client:
                page = client.collection(name).list(
                    fields=["_id"], prefix=incomplete, limit=COMPLETED
                )
        except DtsError:
            return []
        return [clean(each["_id"]) for each in page.items]

    return complete
