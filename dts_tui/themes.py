"""Colours by name.

A palette maps the style names that drawing uses to Rich styles; Textual's own widgets follow
along.
"""

from dataclasses import dataclass
from functools import lru_cache

from rich.style import Style
from textual.theme import Theme

NAMES = ("dark", "light", "contrast", "colourblind")


@dataclass(frozen=True)
class Colours:
    """The colours that a theme chooses; every style is made of them."""

    back: str
    raised: str
    text: str
    dim: str
    faint: str
    accent: str
    good: str
    busy: str
    warn: str
    bad: str
    bar: str
    cursor: str
    mark: str
    dark: bool = True


COLOURS = {
    "dark": Colours(
        back="#0e131a", raised="#161d27", text="#cdd6e0", dim="#8794a3", faint="#46525f",
        accent="#7cc4ff", good="#6cc07a", busy="#6aaefc", warn="#e0b152", bad="#f0716b",
        bar="#5d9fd6", cursor="#22364d", mark="#3a2f52",
    ),
    "light": Colours(
        back="#fbfbf8", raised="#eeeeea", text="#20262d", dim="#5d6771", faint="#b5bbc2",
        accent="#0b62b0", good="#1c7a33", busy="#1559b7", warn="#8a5a00", bad="#b3261e",
        bar="#3a7cbf", cursor="#cfe3f7", mark="#e6dcf7", dark=False,
    ),
    "contrast": Colours(
        back="#000000", raised="#000000", text="#ffffff", dim="#d8d8d8", faint="#9a9a9a",
        accent="#00ffff", good="#00ff5f", busy="#5fafff", warn="#ffff00", bad="#ff5f5f",
        bar="#ffffff", cursor="#0030a0", mark="#5f005f",
    ),
    "colourblind": Colours(
        back="#10141b", raised="#181e28", text="#d5dae0", dim="#8f99a5", faint="#4a5561",
        accent="#56b4e9", good="#56b4e9", busy="#9ad0f5", warn="#f0e442", bad="#e69f00",
        bar="#0072b2", cursor="#23374b", mark="#45324a",
    ),
}  # fmt: skip


class Palette:
    """Style name -> Rich style, on this theme's background."""

    def __init__(self, colours: Colours) -> None:
        self.colours = colours
        self._styles = _styles(colours)

    def __getitem__(self, name: str) -> Style:
        return _resolve(self, name)

    def base(self, name: str) -> Style:
        """The style by its plain name; an unknown one looks like text."""
        return self._styles.get(name) or self._styles["text"]


@lru_cache(maxsize=2048)
def _resolve(palette: Palette, name: str) -> Style:
    """`name` alone, or `name/surface`: the same ink on another surface (cursor, mark, head, dimmed)."""
    ink, _, surface = name.partition("/")
    style = palette.base(ink)
    if not surface:
        return style
    if surface == "stale":
        return Style(
            color=palette.colours.faint if ink != "text" else palette.colours.dim,
            bgcolor=palette.colours.back,
        )
    return style + Style(bgcolor=_surface(palette.colours, surface))


def _surface(colours: Colours, name: str) -> str:
    return {"cursor": colours.cursor, "mark": colours.mark, "head": colours.raised}.get(
        name, colours.back
    )


def _styles(c: Colours) -> dict[str, Style]:
    def ink(colour: str, *, bold: bool = False, back: str = c.back, reverse: bool = False) -> Style:
        return Style(color=colour, bgcolor=back, bold=bold, reverse=reverse)

    return {
        "text": ink(c.text),
        "strong": ink(c.text, bold=True),
        "dim": ink(c.dim),
        "faint": ink(c.faint),
        "border": ink(c.faint),
        "focus": ink(c.accent),
        "title": ink(c.text, bold=True),
        "accent": ink(c.accent),
        "link": ink(c.accent),
        "good": ink(c.good),
        "busy": ink(c.busy),
        "idle": ink(c.dim),
        "warn": ink(c.warn),
        "bad": ink(c.bad),
        "dead": ink(c.bad, bold=True, reverse=True),
        "bar": ink(c.bar),
        "key": ink(c.accent, bold=True),
        "head": ink(c.text, back=c.raised),
        "headdim": ink(c.dim, back=c.raised),
        "brand": ink(c.accent, bold=True, back=c.raised),
        "badge": ink(c.back, bold=True, back=c.warn),
        "gone": ink(c.back, bold=True, back=c.bad),
        "tab": ink(c.dim),
        "tabon": ink(c.back, bold=True, back=c.accent),
        "hit": ink(c.back, back=c.warn),
        "column": ink(c.dim, bold=True),
    }


@lru_cache(maxsize=8)
def palette(name: str) -> Palette:
    """The palette of a theme; an unknown name gives the dark one."""
    return Palette(COLOURS.get(name, COLOURS["dark"]))


def textual_themes() -> list[Theme]:
    """The same colours for Textual's own widgets (inputs, editor)."""
    return [
        Theme(
            name=name, primary=c.accent, secondary=c.busy, warning=c.warn, error=c.bad, success=c.good,
            accent=c.accent, foreground=c.text, background=c.back, surface=c.raised, panel=c.raised,
            dark=c.dark,
            variables={
                "input-cursor-background": c.text, "input-cursor-foreground": c.back,
                "input-selection-background": c.cursor,
            },
        )
        for name, c in COLOURS.items()
    ]  # fmt: skip
