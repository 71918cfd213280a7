"""What a person is asked while their job logs in to a host, on its way to them and back. Holds no secret in clear."""

from datetime import datetime

from dts_core.model.base import Document

__all__ = ["LoginQuestion", "Prompt", "Wording"]


class Prompt(Document, frozen=True, kw_only=True):
    """One line to answer: the host's text, made printable."""

    text: str
    echo: bool = False
    """Whether the answer may be seen while it is typed."""


class Wording(Document, frozen=True, kw_only=True):
    """What is asked, and for whom: an answer counts for exactly this."""

    host: str
    """Id of the virtual host."""
    user: str = ""
    """Who logs in there; of a signature."""
    title: str = ""
    prompts: list[Prompt] = []
    """Lines to answer; none: a signature is asked for."""
    opens: str = ""
    """The stored key whose passphrase is asked for. Empty: the words are the host's, and so is the answer."""
    public_key: str = ""
    """`TYPE BASE64` of the key to sign with."""
    data: bytes = b""
    """What is to be signed."""

    @property
    def is_signature(self) -> bool:
        """Whether a signature of an SSH agent is asked for."""
        return not self.prompts


class LoginQuestion(Document, frozen=True, kw_only=True):
    """One question. It is there until it is answered or its time is over."""

    id: str
    """`JOB-RANDOM-HOST`"""
    job: str
    epoch: int
    """Of the job's claim that asks: another one asks anew."""
    person: str
    """Who started the job: nobody else answers."""
    wording: Wording
    sealing_key: str
    """The public half of a key that only the asking process has, for this question alone: `x25519:...`."""
    state: str = "open"
    """open | answered | declined"""
    box: bytes = b""
    """The answer, sealed."""
    for_all: bool = False
    """Whether the person wants it used for every host of the job that asks with the same words."""
    created_at: datetime
    deadline: datetime
    revision: int = 1
