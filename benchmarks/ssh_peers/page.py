"""The figures of a run for people."""

from typing import Any

__all__ = ["table"]

Figures = dict[str, Any]


def table(figures: Figures) -> str:
    """Markdown: our own figures, then dts beside each peer for every number of hosts."""
    one, kept, lines = figures["one"], figures["kept"], ["| figure | |", "| --- | --- |"]
    for way, words in (
        ("rounds", "a call on each, then the next"),
        ("streaming", "each on its own"),
    ):
        told = figures[f"warm_10_{way}"]
        cpu = f"{told['near_us_per_call']:.0f} / {told['far_us_per_call']:.0f}"
        lines.append(f"| 10 hosts kept, {words}: calls/s | {told['per_second']:,.0f} |")
        lines.append(f"| processor time of such a call, µs here / there | {cpu} |")
    lines.append(
        f"| one call, one host, µs p50 / p99 | {one['p50_us']:.0f} / {one['p99_us']:,.0f} |"
    )
    lines.append(f"| memory of a kept host, KiB | {kept['kib_per_host']:.0f} |")
    share = kept["percent_of_a_core_for_1000"]
    lines.append(f"| 1,000 kept hosts that idle, of a core | {share:.2f}% |")
    behind = figures.get("behind_a_default_bastion")
    if behind:
        told = f"{behind['seconds']:.1f} s, {behind['failed']:.0f} failed"
        lines.append(f"| 200 hosts behind one bastion as it comes, from cold | {told} |")
    lines += ["", *_beside(figures["sizes"])]
    return "\n".join(lines)


def _beside(sizes: Figures) -> list[str]:
    """Cold and warm of each program, and how many times as long as ours."""
    columns = [f"{size} {state}" for size in sizes for state in ("cold", "warm")]
    lines = ["| wall ms (times ours); processor ms here |" + "".join(f" {c} |" for c in columns)]
    lines.append("| --- |" + " --- |" * len(columns))
    names = dict.fromkeys(name for told in sizes.values() for name in told["best"])
    for name in names:
        cells = [
            _cell(told["best"], name, state)
            for told in sizes.values()
            for state in ("cold", "warm")
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for size, told in sizes.items():
        lines += [
            f"\nNot measured with {size}: {name} ({why})."
            for name, why in told["not_measured"].items()
        ]
    return lines


def _cell(best: Figures, name: str, state: str) -> str:
    told, ours = best.get(name), best["dts"]
    if told is None:
        return "-"
    wall, cpu = told[f"{state}_seconds"], told[f"{state}_cpu_seconds"]
    times = "" if name == "dts" else f" ({wall / ours[f'{state}_seconds']:,.1f})"
    return f"{wall * 1000:,.1f}{times}; {cpu * 1000:,.1f}"
