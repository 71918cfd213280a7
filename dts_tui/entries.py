"""One entry of the catalogue: what an action is."""

from dataclasses import dataclass

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
        footer: Place in the footer, lowest first; 0: not shown there.
        looks: Changes nothing, though not everybody may see it.
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

    @property
    def writes(self) -> bool:
        """Whether it changes anything on the server."""
        return self.permission != READ and not self.looks

    def offered(self, scope: str) -> bool:
        """Whether a screen offers it."""
        return not self.scopes or scope in self.scopes
