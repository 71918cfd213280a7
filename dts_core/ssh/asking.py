"""Questions that a host asks a person during a login: one-time passwords, passwords, whatever it likes."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from dts_core.text import SafeText
from dts_core.vault import Secret

__all__ = ["Asking", "Question"]


class Question(msgspec.Struct, frozen=True):
    """One line to answer. The text is the host's, made printable."""

    text: SafeText
    is_secret: bool
    """Whether the answer must not be seen while it is typed."""


class Asking(Protocol):
    """Who puts questions before a person; called once for each round of a login, never again by itself."""

    async def answer(
        self, host: str, title: SafeText, questions: Sequence[Question]
    ) -> Sequence[Secret] | None:
        """One answer for each question; None: the person declines. Cancelled when their time is over.

        Args:
            host: Id of the virtual host that asks; a jump host asks for itself.
            title: The host's own words above the questions, made printable; may be empty.
            questions: At least one.
        """
        ...
