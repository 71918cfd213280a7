"""Writes the figures of the last run into the pages that show them: `python -m benchmarks.pages`.

Takes peers.json, ssh.json, host_setup.json and scale.json of benchmarks/out, those that are there; replaces what stands
between
`<!-- NAME -->` and `<!-- /NAME -->` of docs/performance.md and docs/scale.md, and draws docs/pictures/peers.svg.
"""

import json
from pathlib import Path
from typing import Any

from benchmarks import host_setup
from benchmarks.peers import page as peers
from benchmarks.ssh_peers import page as ssh

ROOT = Path(__file__).parents[1]
OUT = ROOT / "benchmarks" / "out"
DOCS = ROOT / "docs"
SCALE_ROWS = (
    ("events a second", "events_per_second", "{:,.0f}"),
    ("control side, cores", "control_cores", "{:.2f}"),
    ("broker, cores", "broker_cores", "{:.2f}"),
    ("control side, MiB", "control_rss_mib", "{:.0f}"),
    ("a beat is written and told after, ms p50", "beat_written_p50_ms", "{:,.0f}"),
    ("ms p99", "beat_written_p99_ms", "{:,.0f}"),
    ("left in the queues at the end", "left_in_queues", "{:,.0f}"),
    ("beats, batches of logs, results not taken", "missed", "{}"),
)
HOSTS = (100, 1_000, 10_000)


def put(page: str, name: str, text: str) -> str:
    """The page with `text` between the marks of that name.

    Raises:
        ValueError: It has no such marks.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    head, found, rest = page.partition(begin)
    _, ended, tail = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"no {begin} ... {end}")
    return f"{head}{begin}\n{text}\n{end}{tail}"


def about(told: dict[str, Any]) -> str:
    """When and where it was measured."""
    run = told["about"]
    kind = ", a quick run that only shows the form" if run["quick"] else ""
    return f"Measured {run['at'][:10]}: {run['system']}, {run['cores']} cores, Python {run['python']}{kind}."


def scale_table(told: dict[str, Any]) -> str:
    """Markdown: what one event costs, what a worker costs the broker, then a column for each number of hosts."""
    lines = [
        about(told),
        "",
        "| one event | control side, µs | broker, µs |",
        "| --- | --- | --- |",
    ]
    names = {"beats": "heartbeat", "logs": "batch of 5 log records", "results": "result message"}
    for load, name in names.items():
        each = told[f"{load}_alone"]
        cost = f"{each['control_us_per_event']:.0f} | {each['broker_us_per_event']:.0f}"
        lines.append(f"| {name} | {cost} |")
    worker = told["worker_at_broker"]
    lines += [
        "",
        f"A connected worker that does nothing takes {worker['kib_each']:.0f} KiB of the broker and",
        f"{worker['idle_us_per_second_each']:.0f} µs of its processor a second.",
        "",
        "| hosts | " + " | ".join(f"{hosts:,}" for hosts in HOSTS) + " |",
        "| --- " * (len(HOSTS) + 1) + "|",
    ]
    columns = [told[f"all_of_{hosts}_hosts"] for hosts in HOSTS]
    for each in columns:
        missed = (each[f"{load}_missed"] for load in names)
        each["missed"] = ", ".join(f"{count:,.0f}" for count in missed)
    for heading, key, form in SCALE_ROWS:
        lines.append(
            f"| {heading} | " + " | ".join(form.format(each[key]) for each in columns) + " |"
        )
    return "\n".join(lines)


def peers_table(told: dict[str, Any]) -> str:
    """Markdown, with the plot below it."""
    return f"{about(told)}\n\n{peers.table(told)}\n\n![jobs a second](pictures/peers.svg)"


def ssh_table(told: dict[str, Any]) -> str:
    """Markdown."""
    return f"{about(told)}\n\n{ssh.table(told)}"


def host_setup_table(told: dict[str, Any]) -> str:
    """Markdown."""
    return f"{about(told)}\n\n{host_setup.table(told)}"


def main() -> None:
    """Write what there is."""
    for source, target, table in (
        ("peers", "performance.md", peers_table),
        ("ssh", "performance.md", ssh_table),
        ("host_setup", "performance.md", host_setup_table),
        ("scale", "scale.md", scale_table),
    ):
        path = OUT / f"{source}.json"
        if not path.exists():
            print(f"no {path.name}: run `python -m benchmarks {source}`")
            continue
        told = json.loads(path.read_text("utf-8"))
        page = DOCS / target
        page.write_text(put(page.read_text("utf-8"), source, table(told)), "utf-8")
        if source == "peers":
            (DOCS / "pictures" / "peers.svg").write_text(peers.plot(told), "utf-8")
        print(f"written: {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
