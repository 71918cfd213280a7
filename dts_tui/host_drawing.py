"""Hosts as lines: the table of the Wall, the heat map, charts and facts of one host."""

from collections.abc import Sequence
from dataclasses import dataclass

from dts_core.model import Host
from dts_core.plain import glyphs, words
from dts_core.plain.cells import cells, cut, pad
from dts_core.plain.figures import by_pressure, host_state, memory_share, worst_disk
from dts_tui.draw import Line, bar, box, chart, fit, join, level_style, spark, spread, squeeze
from dts_tui.scene import Scene, pointed
from dts_tui.state import SAMPLES_MAX, History, World


def shown_hosts(world: World) -> list[Host]:
    """The hosts in the order of the Wall."""
    return by_pressure(world.hosts)


def hosts_panel(scene: Scene, width: int, height: int) -> tuple[Line, list[Line]]:
    """Title and lines of the panel: as many hosts as fit, the rest as a heat map."""
    hosts = shown_hosts(scene.world)
    up = sum(host.state == "up" for host in hosts)
    title: Line = [
        ("hosts ", "title"),
        (f"{up}/{len(hosts)}", "good" if up == len(hosts) else "warn"),
    ]
    if len(hosts) > 1 and width > 50:
        title.append((" ─ worst first", "dim"))
    if not hosts:
        return title, [[("no host yet: `:add-host`, or start a worker with `dts-worker`", "dim")]]
    many = len(hosts) > height
    heat = min(max((len(hosts) - height) // max(width, 1) + 1, 1), 3) if many else 0
    rows = max(height - heat, 1)
    sizes = _host_sizes(hosts, width)
    first = max(scene.view.row("hosts", len(hosts)) - rows + 1, 0)
    lines = [_host_line(scene, host, sizes) for host in hosts[first : first + rows]]
    lines = pointed(scene, "hosts", lines, width, first)
    if heat:
        lines += _heat(hosts[:first] + hosts[first + rows :], width, heat)
    return title, lines


@dataclass(frozen=True)
class _Sizes:
    name: int
    cpu: int
    spark: int
    memory: int
    disk: bool
    version: bool


def _host_sizes(hosts: list[Host], width: int) -> _Sizes:
    name = min(max(5, *(cells(host.name) for host in hosts)), 22, max(width // 4, 6))
    room = width - (2 + name + 1 + 6 + 10 + 10 + 6)
    disk = room - 9 >= 18
    room -= 9 if disk else 0
    version = room - 10 >= 60
    room -= 10 if version else 0
    trail = 0 if room < 16 else min(room * 2 // 5, 75)
    bars = max(room - trail - (1 if trail else 0), 6)
    cpu = min(bars * 11 // 20, 30)
    return _Sizes(name, cpu, trail, min(bars - cpu, 24), disk, version)


def _host_line(scene: Scene, host: Host, sizes: _Sizes) -> Line:
    look, beat = glyphs.host(host_state(host)), host.beat
    age = (scene.now - host.last_beat).total_seconds()
    history = scene.world.history.get(host.name)
    memory = memory_share(host)
    out: Line = [
        (look.glyph + " ", look.style),
        (pad(host.name, sizes.name) + " ", "strong"),
        (pad(words.age(age), 5, "right") + " ", look.style if host.state != "up" else "dim"),
        ("CPU ", "dim"),
        *bar(beat.cpu, sizes.cpu),
        (
            pad(words.share(beat.cpu), 5, "right") + " ",
            level_style(beat.cpu) if beat.cpu >= 0.75 else "text",
        ),
    ]
    if sizes.spark:
        values = trail(history, history.cpu, sizes.spark) if history else []
        out.append((spark(values, sizes.spark) + " ", "bar"))
    out += [("MEM ", "dim"), *bar(memory, sizes.memory)]
    out.append(
        (pad(words.share(memory), 5, "right"), level_style(memory) if memory >= 0.75 else "text")
    )
    if sizes.disk:
        _, disk = worst_disk(host)
        out += [
            (" DSK ", "dim"),
            (pad(words.share(disk), 4, "right"), level_style(disk) if disk >= 0.75 else "text"),
        ]
    out.append((pad(f"{beat.running}/{beat.slots}", 6, "right"), "busy" if beat.running else "dim"))
    if sizes.version:
        out.append(("  " + pad(beat.version, 8), "faint"))
    return out


def _heat(hosts: list[Host], width: int, rows: int) -> list[Line]:
    """The hosts that found no row: one cell each, its height the load, its colour the trouble."""
    per_row = width
    out: list[Line] = []
    for start in range(0, min(len(hosts), per_row * rows), per_row):
        line: Line = []
        for host in hosts[start : start + per_row]:
            load = max(host.beat.cpu, memory_share(host))
            style = glyphs.host(host.state).style if host.state != "up" else level_style(load)
            line.append((spark([load], 1) if host.state != "lost" else "○", style))
        out.append(line)
    return out


def host_box(scene: Scene, width: int, height: int) -> list[Line]:
    """A frame with the host under the cursor in full."""
    hosts = shown_hosts(scene.world)
    if not hosts:
        return box([], [("host", "title")], [], width, height, "border")
    host = hosts[scene.view.row("hosts", len(hosts))]
    body = host_body(scene, host, width - 4, height - 2)
    title: Line = [(host.name, "title"), (" ─ last five minutes", "dim")]
    return box(body, title, scene.age(), width, height, "border")


def host_body(scene: Scene, host: Host, width: int, height: int) -> list[Line]:
    """A host's charts and figures in `height` lines."""
    facts = host_facts(host, width)
    history = scene.world.history.get(host.name)
    tall = height - len(facts) - 1
    if tall < 2:
        return facts[:height]
    half = (width - 3) // 2
    cpu = list(history.cpu) if history else []
    memory = list(history.memory) if history else []
    count = history.count if history else 0
    left = _chart("CPU", cpu, half, tall, "bar", count)
    right = _chart("memory", memory, width - 3 - half, tall, "busy", count)
    out = [join([a, b], "   ") for a, b in zip(left, right, strict=True)]
    return [*out, *facts]


def trail(history: History, values: Sequence[float], width: int) -> list[float]:
    """A host's history in `width` points that stay where they are as time goes on."""
    return squeeze(list(values), width, count=history.count, capacity=SAMPLES_MAX)


def _chart(
    name: str, values: list[float], width: int, rows: int, style: str, count: int
) -> list[Line]:
    peak = max(values, default=0.0)
    top = 1.0 if peak > 0.4 else 0.5 if peak > 0.2 else 0.25
    last = words.share(values[-1]) if values else words.ABSENT
    points = squeeze(values, width, count=count, capacity=SAMPLES_MAX)
    now = f"{name} {last}"
    notes = (f"scale {words.share(top)}  peak {words.share(peak)}", f"peak {words.share(peak)}", "")
    note = next(each for each in notes if not each or cells(now + each) + 2 <= width)
    head = spread([(now, "text")], [(note, "faint")], width)
    return [head, *([(text, style)] for text in chart(points, width, rows, top))]


def host_facts(host: Host, width: int) -> list[Line]:
    """Cores, load, network and disks in a few lines."""
    beat = host.beat
    cores = "".join(spark([value], 1) for value in beat.cpu_cores[:64])
    first: list[Line] = [
        [("load ", "dim"), (" ".join(f"{value:.2f}" for value in beat.load), "text")],
        [
            ("net ", "dim"),
            (
                f"↓ {words.size(beat.network_received)}/s ↑ {words.size(beat.network_sent)}/s",
                "text",
            ),
        ],
        [("up ", "dim"), (words.age(beat.uptime_seconds), "text")],
    ]
    if cores:
        first.append([("cores ", "dim"), (cores, "bar")])
    if beat.swap_total:
        first.append([("swap ", "dim"), (words.share(beat.swap_used / beat.swap_total), "text")])
    out = [fit(join(first), width)]
    disks = sorted(beat.disks, key=lambda disk: -(disk.used / disk.total if disk.total else 0))
    shown: list[Line] = []
    for disk in disks[:4]:
        share = disk.used / disk.total if disk.total else 0.0
        shown.append(
            [
                (cut(disk.mount, 16) + " ", "dim"),
                *bar(share, 10),
                (f" {words.share(share)} of {words.size(disk.total)}", "text"),
            ]
        )
    while len(shown) > 1 and sum(sum(cells(t) for t, _ in part) + 2 for part in shown) > width + 2:
        shown.pop()
    if shown:
        out.append(fit(join(shown), width))
    return out


# --- jobs, queues, alarms, failures ---------------------------------------------------------------
