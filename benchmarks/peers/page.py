"""The figures of a run as a table for people and as a plot; `python -m benchmarks.pages` writes them into the pages."""

from collections.abc import Callable, Sequence
from typing import Any

Figures = dict[str, Any]
PARTS = ("client_us", "worker_us", "broker_us", "store_us")
COLOURS = {"ours": "#2a6f97", "peer": "#a9a9a9"}
PLOTTED = (
    ("enqueue", "submitted, confirmed, jobs/s"),
    ("burn_down", "run with results stored, jobs/s"),
    ("sustained", "both at once, jobs/s"),
)
BAR, GAP, LEFT, WIDE = 18, 6, 150, 420


def rate(told: Figures, mode: str) -> str:
    """The median, and the spread where there were several repetitions."""
    low, high = told.get("spread", {}).get(mode) or (0.0, 0.0)
    value = told[mode]["per_second"]
    return f"{value:,.0f}" if low == high else f"{value:,.0f} ({low:,.0f}..{high:,.0f})"


def latency(told: Figures) -> str:
    """Milliseconds."""
    return f"{told['p50_ms']:.2f} / {told['p99_ms']:.2f}"


def cpu(told: Figures) -> str:
    """Microseconds of a job by part; dts's server counts as the store."""
    values = {**told, "store_us": told.get("server_us", told.get("store_us"))}
    return " / ".join("-" if values.get(part) is None else f"{values[part]:,.0f}" for part in PARTS)


def memory(told: Figures) -> str:
    """The worker with its children; then its own process, and the largest child."""
    idle = told["idle"]
    whole = f"{idle['pss_mib']:.0f} / {told['burn_down']['busy_pss_mib']:.0f}"
    return f"{whole} ({idle['head_rss_mib']:.0f}, {idle['largest_child_pss_mib']:.0f})"


COLUMNS: Sequence[tuple[str, Callable[[Figures], str]]] = (
    ("enqueue/s", lambda told: rate(told, "enqueue")),
    ("burn down/s", lambda told: rate(told, "burn_down")),
    ("sustained/s", lambda told: rate(told, "sustained")),
    ("1 KiB/s", lambda told: rate(told, "payload_1_kib")),
    ("10 ms I/O/s", lambda told: rate(told, "io_10_ms")),
    ("one, ms p50 / p99", lambda told: latency(told["one_at_a_time"])),
    ("CPU µs: client / worker / broker / store", lambda told: cpu(told["sustained"])),
    ("worker MiB PSS idle / busy (own process RSS, largest child PSS)", memory),
    ("results", lambda told: str(told["results"])),
)


def table(figures: Figures) -> str:
    """Markdown: one line a subject, then how often dts is the best peer, then what could not be measured."""
    lines = [
        "| | " + " | ".join(heading for heading, _ in COLUMNS) + " |",
        "| --- " * (len(COLUMNS) + 1) + "|",
    ]
    for name, told in figures["subjects"].items():
        cells = " | ".join(show(told) for _, show in COLUMNS)
        lines.append(f"| {name} {told['version']} | {cells} |")
    for name, modes in figures["beside_best_peer"].items():
        cells = ", ".join(f"{mode} {times:.1f}" for mode, times in modes.items())
        lines.append(f"\n{name}, times the best peer with stored results: {cells}.")
    for name, why in figures["not_measured"].items():
        lines.append(f"\nNot measured: {name} ({why.splitlines()[0]}).")
    return "\n".join(lines)


def plot(figures: Figures, ours: Sequence[str] = ("dts",)) -> str:
    """Horizontal bars, one panel a mode, as SVG."""
    subjects = figures["subjects"]
    panel = len(subjects) * (BAR + GAP) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDE + 90}"',
        f'height="{panel * len(PLOTTED)}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for number, (mode, heading) in enumerate(PLOTTED):
        rates = {name: told[mode]["per_second"] for name, told in subjects.items()}
        parts += _panel(heading, rates, number * panel, ours)
    return "\n".join([*parts, "</svg>\n"])


def _panel(heading: str, rates: dict[str, float], top: int, ours: Sequence[str]) -> list[str]:
    parts = [f'<text x="{LEFT}" y="{top + 20}" font-weight="bold">{heading}</text>']
    most = max(rates.values())
    for line, (name, value) in enumerate(rates.items()):
        y = top + 28 + line * (BAR + GAP)
        colour = COLOURS["ours" if name.startswith(tuple(ours)) else "peer"]
        wide = max(value / most * WIDE, 1)
        parts += [
            f'<text x="{LEFT - 6}" y="{y + 13}" text-anchor="end">{name}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{wide:.1f}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{LEFT + wide + 4:.1f}" y="{y + 13}">{value:,.0f}</text>',
        ]
    return parts
