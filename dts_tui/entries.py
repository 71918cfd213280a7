"""One entry of the catalogue: what an action is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

READ, SUBMIT, OPERATE, ADMIN = "read", "submit", "operate", "admin"


@dataclass(frozen=True)
class Action:
    """One thing that can be done.

    Attributes:
        name: What it is called in `:`, in `[keys]` of tui.toml and in the docs.
        keys: Textual key names; the first one is shown.
        scopes: The screens that offer it; empty: all of them.
        title: One or two words, for the footer.
        help: One sentence.
        permission: read, submit, operate or admin; all but read are switched off in a read-only console.
        command, request: The same thing as a `dts` line and as an HTTP request; `{name}` is filled from the subject.
        anywhere: It needs no screen of its own: `:` and the palette reach it from everywhere.
        elsewhere: command and request on screens where they are others, by screen.
        footer: Place in the footer, lowest first; 0: not shown there.
        looks: Changes nothing, though not everybody may see it.
        changes: Changes something, though everybody may.
        typing: Works while a text field has the focus.
        tall: Whether the help lists it under the movements.
    """

    name: str
    keys: tuple[str, ...]
    title: str
    help: str
    scopes: tuple[str, ...] = ()
    permission: str = READ
    command: str = ""
    request: str = ""
    footer: int = 0
    typing: bool = False
    looks: bool = False
    changes: bool = False
    anywhere: bool = False
    elsewhere: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def writes(self) -> bool:
        """Whether it changes anything on the server."""
        return self.changes or (self.permission != READ and not self.looks)

    def offered(self, scope: str) -> bool:
        """Whether a screen offers it."""
        return not self.scopes or scope in self.scopes
