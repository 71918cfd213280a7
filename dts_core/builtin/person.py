"""Sessions of a call: those of all, or of the person who called some of their own, whose logins ask them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from dts_core.builtin import Calling

if TYPE_CHECKING:
    from dts_core.remote import Remotes

__all__ = ["remotes_of"]


@asynccontextmanager
async def remotes_of(
    calling: Calling, *, ask: bool, own_keys: Sequence[str] | None, user: str = ""
) -> "AsyncIterator[Remotes]":
    """The sessions of all; where a person takes part, some of their own that end with the block.

    Args:
        calling: The call.
        ask: Whether whoever called is asked for what is not stored.
        own_keys: Public keys of their SSH agent, in place of what is stored; each signature is asked of them.
        user: Log in as this user of the hosts.
    """
    if not (ask or own_keys):
        yield calling.remotes
        return
    from dts_core.remote import Person
    from dts_core.remote.asking import PersonAsking

    asking = PersonAsking(
        calling.services.questions,
        calling.job,
        calling.epoch,
        calling.submitter,
        seconds=calling.remotes.prompt_seconds,
        answers=ask,
    )
    person = Person(own_keys=tuple(own_keys or ()), user=user)
    try:
        async with calling.remotes.of_person(asking, person) as remotes:
            yield remotes
    finally:
        asking.forget()
