"""What a person is asked during a login: a host's questions, a key's passphrase, a signature of their SSH agent."""

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
    opens: str = ""
    """The key of ours whose passphrase is asked for: the question is ours, and no host sees its answer."""


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

        Raises:
            DtsError: They could not be put before anybody, or the answer is not to be used.
        """
        ...

    async def sign(self, host: str, user: str, key: str, data: bytes) -> bytes | None:
        """The signature of a key of the person's own; None: they decline. Cancelled when their time is over.

        Args:
            host: Id of the virtual host that asks for it.
            user: Who logs in there.
            key: Its public half, `TYPE BASE64`.
            data: What is signed: an SSH request for that login.

        Raises:
            DtsError: See `answer`.
        """
        ...
