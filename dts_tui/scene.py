"""What the Wall is drawn from: the shared state, and what the eye is on."""

from dataclasses import dataclass, field
from datetime import datetime

from dts_core.plain import words
from dts_tui.draw import Line, fit
from dts_tui.state import World


@dataclass
class WallView:
    """What the eye is on: the panel, the row in each, and whether a panel is alone."""

    panel: str = "hosts"
    rows: dict[str, int] = field(default_factory=dict)
    zoomed: bool = False
    side: bool = True
    focused: bool = True

    def row(self, panel: str, count: int) -> int:
        """The row under the cursor of a panel, within its bounds."""
        return max(min(self.rows.get(panel, 0), count - 1), 0)


@dataclass
class Spot:
    """Where a panel lies, for the mouse."""

    panel: str
    x: int
    y: int
    width: int
    height: int


@dataclass
class Scene:
    """Everything a drawing needs."""

    world: World
    view: WallView
    now: datetime
    monotonic: float
    spots: list[Spot] = field(default_factory=list)

    def age(self) -> Line:
        """The age of the data, for a panel's edge."""
        age = self.world.stamp.age(self.monotonic)
        if age is None:
            return [("no data yet", "dim")]
        if self.world.stamp.stale(self.monotonic):
            return [(f"stale {words.age(age)}", "warn")]
        return [(f"age {words.age(age)}", "dim")]


def pointed(scene: Scene, panel: str, lines: list[Line], width: int, first: int = 0) -> list[Line]:
    """The line under the cursor on its own surface."""
    if scene.view.panel != panel or not scene.view.focused or not lines:
        return lines
    row = scene.view.row(panel, len(lines) + first) - first
    if 0 <= row < len(lines):
        lines[row] = [(text, f"{name}/cursor") for text, name in fit(lines[row], width)]
    return lines


# --- hosts --------------------------------------------------------------------------------------
