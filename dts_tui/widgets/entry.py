"""The one-line text field of the console."""

from textual.widgets import Input


class Entry(Input):
    """A text field without a frame whose cursor does not blink.

    Args:
        text: What stands in it at first.
        hint: Shown while it is empty.
        secret: Shows dots.
        select: Whether typing replaces what stands in it when it gets the keys.
    """

    def __init__(
        self, text: str = "", *, hint: str = "", secret: bool = False, select: bool = False
    ) -> None:
        super().__init__(text, placeholder=hint, password=secret, select_on_focus=select)
        self.cursor_blink = False

    def action_copy(self) -> None:
        """To the clipboard, unless it is secret."""
        if not self.password:
            super().action_copy()

    def action_cut(self) -> None:
        """To the clipboard, unless it is secret."""
        if not self.password:
            super().action_cut()
