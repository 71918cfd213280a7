"""A text that is read: styled lines that scroll."""

from collections.abc import Callable

from dts_tui.draw import Line, rule
from dts_tui.widgets.scrolling import Scrolling


class Lines(Scrolling):
    """Lines made by a function of the width; scrolled by line. The last position is kept while the content grows."""

    def __init__(
        self,
        make: Callable[[int], list[Line]],
        title: Callable[[], tuple[Line, Line]] | None = None,
        *,
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(id=id)
        self._make = make
        self.title = title
        self.top = 0
        self._count = 0

    @property
    def page(self) -> int:
        """Lines that are seen at once."""
        return max(self.size.height - (self.title is not None), 1)

    def move(self, by: int) -> None:
        """Scroll, stopping at the ends."""
        top = min(max(self.top + by, 0), max(self._count - self.page, 0))
        if top != self.top:
            self.top = top
            self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        """What is in sight, with a thin mark at the right for where that is."""
        out: list[Line] = []
        if self.title is not None:
            left, right = self.title()
            out.append(rule(left, right, width, "focus" if self.has_focus else "border"))
        lines = self._make(width - 2)
        self._count = len(lines)
        room = height - len(out)
        self.top = min(self.top, max(self._count - room, 0))
        shown = lines[self.top : self.top + room]
        if self._count <= room:
            return out + shown
        return out + scrolled(shown, width, room, self.top, self._count)


def scrolled(shown: list[Line], width: int, room: int, top: int, count: int) -> list[Line]:
    """Lines with a scroll mark in the last column."""
    from dts_tui.draw import fit

    size = max(room * room // count, 1)
    start = (room - size) * top // max(count - room, 1)
    return [
        [
            *fit(line, width - 1),
            (
                "┃" if start <= index < start + size else "│",
                "focus" if start <= index < start + size else "border",
            ),
        ]
        for index, line in enumerate(shown)
    ]
