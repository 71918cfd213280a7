"""What a login asks the person whose job it is, as the API shows and takes it."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from dts_core.model import Wording
from dts_core.views.base import View

BOX_MAX = 64 << 10
"""Most bytes of a sealed answer."""


class QuestionView(View, frozen=True):
    """One question."""

    id: str
    job: str
    person: str
    """Who started the job: nobody else answers."""
    wording: Wording
    sealing_key: str
    """`x25519:...` of the one process that asked, for this question alone: the answer is sealed to it."""
    deadline: datetime


class QuestionList(View, frozen=True):
    """GET /ssh/{job}/questions: what is open now, oldest first."""

    items: list[QuestionView]


class AnswerRequest(View, frozen=True, forbid_unknown_fields=True):
    """POST /ssh/{job}/questions/{question}: an answer, or that there is none."""

    box: Annotated[bytes, Meta(max_length=BOX_MAX)] = b""
    """The answers, sealed (base64)."""
    for_all: bool = False
    """Use it for every host of the job that asks with the same words, for as long as an answer counts."""
    declined: bool = False


class AnswerTaken(View, frozen=True):
    """Whether the process that asked has the answer; it says nothing of whether the host likes it."""

    taken: bool
