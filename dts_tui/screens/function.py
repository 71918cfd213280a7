"""One function: its source, its versions, its arguments."""

from textual.widget import Widget

from dts_core.errors import DtsError
from dts_core.plain import words
from dts_core.views import FunctionView, SourceView, VersionView, Written
from dts_tui.draw import Line, fit, wrap
from dts_tui.forms import fields_of
from dts_tui.rows import Rows
from dts_tui.safe import editable, safe, safe_lines
from dts_tui.screens.base import ONCE, Place
from dts_tui.screens.function_difference import show_difference
from dts_tui.screens.functions import ask_delete
from dts_tui.screens.lists import Marking
from dts_tui.screens.tabbed import Tabbed
from dts_tui.widgets.confirm import Confirm
from dts_tui.widgets.lines import Lines
from dts_tui.widgets.source import Code
from dts_tui.widgets.table import Column, Table


class FunctionPage(Marking, Tabbed):
    """The page of one function."""

    scope, area = "function", "functions"
    HEAD_LINES = 2

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.function: FunctionView | None = None
        self._sources: dict[str, str] = {}
        self._version = ""
        self._missing = ""
        self.versions: Rows[VersionView] = Rows(lambda version: version.hash)
        self._table = self._new_table()

    def crumbs(self) -> list[str]:
        """Below Functions."""
        return ["Functions", self.place.key, self.tab or "source"]

    def tabs(self) -> list[tuple[str, str]]:
        """Three."""
        count = f" {len(self.function.versions)}" if self.function else ""
        return [("source", "Source"), ("versions", f"Versions{count}"), ("arguments", "Arguments")]

    def head(self, width: int) -> list[Line]:
        """Name, version, what it does."""
        function = self.function
        if function is None:
            return [[(" " + (self._missing or "asking …"), "bad" if self._missing else "dim")]]
        version = self._shown_version()
        old = version.hash != function.default
        first: Line = [
            (" ", "text"),
            (function.id, "strong"),
            (f"  version {version.hash[:10]}", "warn" if old else "dim"),
            (" (not the default)" if old else " (default)", "warn" if old else "dim"),
            (
                f"  by {version.author}, {words.moment(version.created_at, self.console.now(), utc=self.console.utc)}",
                "dim",
            ),
            (f"  {words.size(version.size)}", "dim"),
            ("  async" if version.is_async else "", "accent"),
        ]
        return [
            fit(first, width),
            fit([(" " + (version.summary or version.note), "dim")], width),
        ]

    def _shown_version(self) -> VersionView:
        assert self.function is not None
        return next(
            (v for v in self.function.versions if v.hash == self._version), self.function.current
        )

    def entered(self) -> None:
        """Ask."""
        self.open_tab(self.tab)
        self.refresh_data()

    def refresh_data(self) -> None:
        """The function; then the source of the version that is shown."""

        def failed(error: DtsError) -> None:
            self._missing = str(error)
            self.redraw_head()

        self.ask(
            "function",
            lambda client: client.functions.get(self.place.key),
            self._got,
            failed=failed,
        )

    def _got(self, function: FunctionView) -> None:
        self.function = function
        self.versions.replace(reversed(function.versions))
        self._version = self._version or function.default
        self.redraw_head()
        self.console.scope_changed()
        if isinstance(self._content, Lines | Table):
            self._content.redraw()
        self._need(self._version)

    def _need(self, version: str) -> None:
        if version in self._sources:
            self._fill()
            return

        def got(source: SourceView) -> None:
            self._sources[version] = source.source
            self._fill()

        self.ask(
            "source", lambda client: client.functions.source(self.place.key, version=version), got
        )

    def _fill(self) -> None:
        source = self._sources.get(self._version)
        if isinstance(self._content, Code) and source is not None and self._content.text != source:
            self._content.load_text(source if editable(source) else "\n".join(safe_lines(source)))
        self.redraw_head()

    def content(self, tab: str) -> Widget:
        """Code, a table, or lines."""
        if tab == "source":
            return Code("", self.console.palette.colours, self.console.theme, read_only=True)
        if tab == "versions":
            self._table = self._new_table()
            return self._table
        return Lines(self._arguments)

    def _new_table(self) -> Table[VersionView]:
        return Table(self.versions, self._columns(), None)

    def tab_opened(self, tab: str) -> None:
        """The source is filled in."""
        if tab == "source" and self._version:
            self._need(self._version)

    def _columns(self) -> list[Column[VersionView]]:
        def name(version: VersionView, width: int) -> Line:
            default = self.function is not None and version.hash == self.function.default
            return [
                ("● " if default else "  ", "good"),
                (version.hash[:12], "strong" if default else "text"),
            ]

        return [
            Column("version", name, 15, keep=9),
            Column(
                "made",
                lambda v, w: (
                    words.moment(v.created_at, self.console.now(), utc=self.console.utc),
                    "dim",
                ),
                16,
                keep=8,
            ),
            Column("by", lambda v, w: (v.author, "text"), 10, keep=7),
            Column("size", lambda v, w: (words.size(v.size), "dim"), 9, align="right", keep=5),
            Column("note", lambda v, w: (v.note or v.summary, "dim"), 16, grow=1, keep=6),
        ]

    def _arguments(self, width: int) -> list[Line]:
        if self.function is None:
            return []
        out: list[Line] = []
        for item in fields_of(self._shown_version().parameters):
            must = "needed" if item.required else f"default {item.unset}"
            out.append(
                fit(
                    [
                        (f" {safe(item.label)}", "strong"),
                        (f"  {item.wants}", "accent"),
                        (f"  {safe(must)}", "dim"),
                    ],
                    width,
                )
            )
            out += [
                [("    " + text, "dim")]
                for text in (wrap(safe(item.help), width - 6) if item.help else [])
            ]
        doc = safe_lines(self._shown_version().doc)
        return [*out, [], *([(" " + text, "text")] for text in doc)]

    def has_use(self, name: str) -> bool:
        """Enter where there is a list; a comparison where there are two versions; what ships stays as it is."""
        if name in ("open", "mark"):
            return self.tab == "versions"
        if name in ("edit", "delete"):
            return not self.place.key.startswith("dts/")
        if name in ("diff", "default"):
            return self.function is not None and len(self.function.versions) > 1
        return True

    def on_table_opened(self) -> None:
        """As enter."""
        self.do_open()

    def do_open(self) -> None:
        """The source of the version under the cursor."""
        if self.tab == "versions" and self.versions.current is not None:
            self._version = self.versions.current.hash
            self.open_tab("source")

    def _move(self, lines: int) -> None:
        if isinstance(self._content, Code):
            self._content.move(lines)
        else:
            super()._move(lines)

    def do_submit(self) -> None:
        """Its form."""
        self.console.go(Place("form", self.place.key))

    def do_edit(self) -> None:
        """Edit the version that is shown."""
        self.console.go(Place("editor", self.place.key, self._version))

    def do_job_logs(self) -> None:
        """What its jobs wrote."""
        self.console.go(Place("logs", f"function={self.place.key}", ONCE))

    def do_delete(self) -> None:
        """Ask for the name, then delete."""
        if self.function is not None:
            ask_delete(self, self.function)

    def _pointed(self) -> VersionView | None:
        if self.function is None:
            return None
        return self.versions.current if self.tab == "versions" else self._shown_version()

    def do_default(self) -> None:
        """Ask, then make the version the default."""
        version, function = self._pointed(), self.function
        if version is None or function is None or version.hash == function.default:
            self.console.notice("that is the default already", "warn")
            return

        def done(written: Written) -> None:
            self.console.notice(f"{function.id}: {version.hash[:10]} is the default from now on")
            self._version = version.hash
            self.refresh_data()

        def send() -> None:
            self.ask(
                "default",
                lambda client: client.functions.update(
                    function.id, default=version.hash, revision=function.revision
                ),
                done,
                writes=True,
            )

        made = words.instant(version.created_at, utc=self.console.utc)
        now = f"now {function.default[:10]}, then {version.hash[:10]} of {made}"
        self.console.open_overlay(
            Confirm("Make this version the default?", [function.id, now], "Make default", send)
        )

    def marking(self) -> tuple[Rows[VersionView], Table[VersionView]]:
        """Its versions."""
        return self.versions, self._table

    def do_diff(self) -> None:
        """What lies between the two marked versions; without marks, what this one changed."""
        version, function = self._pointed(), self.function
        if version is None or function is None:
            return
        hashes = [each.hash for each in function.versions]
        marked = [each for each in hashes if each in self.versions.marks]
        if marked and len(marked) != 2:
            self.console.notice("mark two versions, or none", "warn")
        elif marked:
            show_difference(self, function.id, marked[0], marked[1])
        elif at := hashes.index(version.hash):
            show_difference(self, function.id, hashes[at - 1], version.hash)
        else:
            self.console.notice("this is the first version", "warn")

    def subject(self) -> dict[str, str]:
        """This function and version."""
        name, version = self.place.key, self._pointed()
        return {
            "function": name,
            "id": name,
            "version": version.hash if version else "",
            "revision": str(self.function.revision) if self.function else "",
            "log_options": f"--function {name}",
            "log_query": f"function={name}",
        }

    def copied(self) -> str:
        """The source, or its name."""
        return (
            self._sources.get(self._version, self.place.key)
            if self.tab == "source"
            else self.place.key
        )

    def exported(self) -> list[dict[str, str]]:
        """The versions."""
        return [
            {
                "version": v.hash,
                "author": v.author,
                "created_at": v.created_at.isoformat(),
                "note": v.note,
            }
            for v in self.versions.items.values()
        ]
