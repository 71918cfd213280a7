"""What the feed tells the app. Each message carries plain records; widgets never see a client."""

from dataclasses import dataclass

from textual.message import Message

from dts_core.views import JobView, LogLine


class WorldChanged(Message):
    """The shared state has news: a new status, or the connection went or came back."""

    bubble = False

    def can_replace(self, message: Message) -> bool:
        """Several of these waiting say no more than one."""
        return isinstance(message, WorldChanged)


@dataclass
class JobsChanged(Message):
    """Jobs that changed since the last such message, each once, oldest change first."""

    bubble = False
    jobs: list[JobView]
    missed: bool = False
    """So much was missed that lists must be fetched again."""


@dataclass
class LinesCame(Message):
    """Log lines of the stream that `owner` asked for."""

    bubble = False
    owner: str
    lines: list[LogLine]
    dropped: int = 0
    """How many were left out because more came than can be shown."""
    missed: bool = False


@dataclass
class Notice(Message):
    """One line for the person at the keyboard. kind: good | warn | bad."""

    bubble = False
    text: str
    kind: str = "good"
