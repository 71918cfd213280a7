"""What the console knows: rows, lists, rings, ages, without a terminal."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from dts_core.plain.figures import by_pressure, lasted
from dts_tui.filters import job_query, parse
from dts_tui.ring import LogRing
from dts_tui.rows import ROWS_MAX, JobList, Rows
from dts_tui.screens.base import Place
from dts_tui.state import Connection, History, Stamp, Trail, World, timeline
from tests.tui.fake_server import START, FakeServer, make_host, make_job, make_line


def test_age_is_stale_after_two_intervals() -> None:
    """Data is fresh up to two intervals, stale beyond, and neither before it came."""
    stamp = Stamp(interval=1.0)
    assert not stamp.stale(100.0)
    assert stamp.age(100.0) is None
    stamp.at = 100.0
    assert not stamp.stale(102.2)
    assert stamp.stale(102.3)


def test_connection_says_since_when() -> None:
    """The moment of the first failure stays while the server is gone; only a change is news."""
    connection = Connection()
    assert connection.lost(START, "refused", 5.0)
    assert not connection.lost(START + timedelta(seconds=9), "refused", 9.0)
    assert connection.since == START
    assert connection.back(START + timedelta(seconds=20), 0.01)
    assert connection.since == START + timedelta(seconds=20)


@given(
    st.lists(st.integers(0, 30), unique=True, min_size=1), st.lists(st.integers(0, 30), unique=True)
)
def test_cursor_follows_its_record(before: list[int], after: list[int]) -> None:
    """After a refresh the cursor is on the same record if it is still there, and on some record if there is any."""
    rows: Rows[int] = Rows(str)
    rows.replace(before)
    rows.cursor = str(before[len(before) // 2])
    kept = rows.cursor
    rows.replace(after)
    if kept in map(str, after):
        assert rows.cursor == kept
    else:
        assert (rows.cursor in map(str, after)) is bool(after)


@given(st.lists(st.integers(0, 3000), max_size=1200, unique=True))
def test_rows_are_bounded(numbers: list[int]) -> None:
    """However much is loaded or streamed, at most ROWS_MAX records stay, and marks only on those."""
    rows: Rows[int] = Rows(str)
    rows.replace(numbers[:700])
    rows.marks = set(rows.items)
    rows.extend(numbers[700:])
    for number in numbers[:50]:
        rows.put_first(number + 5000)
    assert len(rows.items) <= ROWS_MAX
    assert rows.marks <= set(rows.items)


def test_marks_go_with_their_records() -> None:
    """A mark on a record that is gone does not come back to hit another one."""
    rows: Rows[int] = Rows(str)
    rows.replace([1, 2, 3])
    rows.marks = {"2"}
    rows.replace([1, 3])
    rows.replace([1, 2, 3])
    assert rows.marks == set()
    assert rows.chosen() == [1]


def _jobs(text: str) -> JobList:
    jobs = JobList()
    jobs.query, jobs.local = job_query(parse(text))
    return jobs


def test_stream_changes_a_row_in_its_place() -> None:
    """A newer change replaces the row; an older one, come late, does not."""
    jobs = _jobs("")
    jobs.load([make_job(1, "running", changed=5), make_job(2)], "")
    jobs.event(make_job(1, "done", changed=9))
    jobs.event(make_job(1, "running", changed=7))
    assert [job.state for job in jobs.rows.items.values()] == ["done", "done"]


def test_stream_respects_the_filter() -> None:
    """What begins to fit comes on top; what no longer fits leaves."""
    jobs = _jobs("running !host=web-9")
    jobs.load([make_job(1, "running")], "")
    jobs.event(make_job(2, "running", changed=50))
    jobs.event(make_job(3, "done", changed=51))
    jobs.event(make_job(4, "running", host="web-9", changed=52))
    assert [job.id for job in jobs.rows.items.values()] == [make_job(2).id, make_job(1).id]
    jobs.event(make_job(2, "done", changed=60))
    assert [job.id for job in jobs.rows.items.values()] == [make_job(1).id]


def test_paging_keeps_a_bound_and_says_what_fell_off() -> None:
    """The table never holds more than ROWS_MAX; how many newer ones fell off is known."""
    jobs = _jobs("")
    jobs.load([make_job(n) for n in range(400)], "400")
    jobs.more([make_job(n) for n in range(400, 800)], "800")
    assert len(jobs.rows.items) == ROWS_MAX
    assert jobs.above == 300


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 20))
def test_ring_keeps_the_newest_once(numbers: list[int], capacity: int) -> None:
    """A line that comes again (a resumed stream) is not shown twice; the ring holds the newest ones."""
    ring = LogRing(capacity)
    ring.add(make_line(number) for number in numbers)
    kept = [line.seq for line in ring.lines]
    rising = [n for i, n in enumerate(numbers) if n > max(numbers[:i], default=0)]
    assert kept == rising[-capacity:]


def test_a_page_finds_its_place_behind_the_stream() -> None:
    """Lines of a page that comes after the first live ones are not lost, doubled or out of order."""
    ring = LogRing(100)
    ring.add([make_line(9), make_line(10)])
    ring.merge([make_line(n) for n in range(5, 10)])
    ring.add([make_line(10), make_line(11)])
    assert [line.seq for line in ring.shown] == [5, 6, 7, 8, 9, 10, 11]


def test_an_older_page_does_not_undo_the_stream() -> None:
    """A list that was asked for before a change, and comes after it, does not show the old state."""
    jobs = _jobs("")
    jobs.load([make_job(1, "running", changed=5)], "")
    jobs.event(make_job(1, "done", changed=9))
    jobs.load([make_job(1, "running", changed=5), make_job(2)], "")
    assert jobs.rows.items[make_job(1).id].state == "done"


def test_ring_filters_without_forgetting() -> None:
    """Another filter shows other lines of those that are kept; the dropped ones stay counted."""
    ring = LogRing(100)
    ring.add(
        make_line(n, level=20 if n % 2 else 40, host="a" if n % 3 else "b") for n in range(1, 31)
    )
    ring.refilter(parse("!host=b"), level=30, host="")
    assert {line.seq for line in ring.shown} == {n for n in range(1, 31) if n % 2 == 0 and n % 3}
    ring.refilter(parse(""), level=0, host="b")
    assert len(ring.shown) == 10
    assert len(ring.lines) == 30


def test_worst_hosts_come_first() -> None:
    """Lost before late before loaded; equal load keeps the order of names, so that rows do not jump."""
    hosts = [
        make_host("c", 0.31),
        make_host("b", 0.30),
        make_host("a", 0.99),
        make_host("d", 0.1, "lost"),
        make_host("e", 0.1, "late"),
    ]
    assert [host.name for host in by_pressure(hosts)][:3] == ["d", "e", "a"]


def test_history_takes_each_beat_once() -> None:
    """A beat that comes with several statuses is one point."""
    history = History()
    for _ in range(3):
        history.beat(make_host("a", 0.5, sequence=4))
    history.beat(make_host("a", 0.6, sequence=5))
    assert list(history.cpu) == [0.5, 0.6]


def test_world_forgets_hosts_that_are_gone() -> None:
    """Histories do not pile up."""
    server, world = FakeServer(), World()
    world.take(server.status(), START, 1.0)
    server.hosts = server.hosts[:1]
    world.take(server.status(), START, 2.0)
    assert set(world.history) == {"web-1"}
    assert world.skew == 1.0


def test_trail_goes_back_and_forward() -> None:
    """Like a browser: back, forward, and a new place cuts what lay ahead; what was sent is no place to go back to."""
    trail = Trail()
    for kind in ("wall", "jobs", "choose", "form"):
        trail.visit(Place(kind))
    trail.forget(("choose", "form"))
    trail.visit(Place("job", "1"))
    assert trail.older() == Place("jobs")
    assert trail.newer() == Place("job", "1")
    trail.older()
    trail.visit(Place("hosts"))
    assert trail.newer() is None


def test_timeline_ends_where_the_job_stands() -> None:
    """Each state has its time and how long; the last one of a finished job has no length."""
    names = [name for name, _, _ in timeline(make_job(1, "done"), START)]
    assert names == ["queued", "running", "done"]
    assert timeline(make_job(1, "done"), START)[-1][2] is None
    waiting = timeline(make_job(1, "queued"), START)
    assert waiting[-1][0] == "queued"
    assert waiting[-1][2] == 7.0


def test_a_job_that_waits_again_takes_no_time() -> None:
    """Between two attempts the clock of the old one is not shown as running."""
    job = make_job(1, "retrying", started_at=START)
    assert lasted(job, START + timedelta(seconds=60)) is None
