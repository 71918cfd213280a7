"""Walks through the console by keys alone, on a fake server."""

import json
from pathlib import Path

import pytest

from dts_tui.screens.base import Place
from dts_tui.screens.jobs import Jobs
from tests.tui.conftest import Opener
from tests.tui.fake_server import FakeServer, make_function, make_host, make_job, make_line

SIZES = [(80, 24), (160, 48)]


@pytest.mark.parametrize("size", SIZES)
async def test_the_whole_road(opened: Opener, server: FakeServer, size: tuple[int, int]) -> None:
    """Wall, new job, form, live job with log and progress, result: by keys alone at both sizes."""
    async with opened(*size) as drive:
        await drive.shows("hosts 2/3", "● live", "▶ running")
        await drive.keys("n")
        await drive.shows("choose a function", "sample/wordcount")
        await drive.keys("<wordc>", "enter")
        await drive.shows("path on the host", "pattern")
        await drive.keys("ctrl+s")
        await drive.shows("✗ needs a value", "1 to mend above")
        await drive.keys("</etc/hosts>", "ctrl+s")
        await drive.shows("◌ queued", "submitted as")
        sent = next(
            body for method, path, body in server.requests if (method, path) == ("POST", "/jobs")
        )
        assert sent["function"] == "sample/wordcount"
        assert sent["kwargs"]["path"] == "/etc/hosts"
        job = server.jobs[0]
        await drive.until(lambda: bool(server.streams))
        server.put_job(
            make_job(
                1,
                "running",
                id=job.id,
                function=job.function,
                progress=0.5,
                progress_text="half way",
                changed=10**6,
            )
        )
        await drive.shows("▶ running", "50%", "half way")
        await drive.keys("l")
        await drive.until(lambda: len(server.streams) > 1)
        server.log([make_line(9001, "counting now", job=job.id)])
        await drive.shows("counting now")
        server.put_job(
            make_job(
                1,
                "done",
                id=job.id,
                function=job.function,
                result={"words": 4711},
                result_size=12,
                changed=10**6 + 1,
            )
        )
        await drive.shows("● done")
        await drive.keys("shift+tab")
        await drive.shows('"words": 4711')


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (100, 30), (160, 48), (200, 60)])
async def test_every_area_at_every_size(opened: Opener, size: tuple[int, int]) -> None:
    """All areas open by their number and show their content, from 60x15 up; no line is cut by the frame."""
    async with opened(*size) as drive:
        await drive.shows("hosts", "live")
        for key, text in zip(
            "1234567",
            (
                "db-2",
                "running",
                "sample/steps",
                "late",
                "line number 300",
                "critical",
                "jobs.default",
            ),
            strict=True,
        ):
            await drive.keys(key)
            await drive.shows(text)
            assert len(drive.screen().split("\n")) == size[1]
        assert not drive.console.notices


async def test_below_the_smallest_size_there_is_one_line(opened: Opener) -> None:
    """50x10 shows what is needed; a larger window brings everything back."""
    async with opened(50, 10) as drive:
        await drive.shows("dts needs 60x15, this is 50x10")
        await drive.pilot.resize_terminal(80, 24)
        await drive.shows("hosts 2/3")
        await drive.keys("2")
        await drive.shows("jobs ─ 39")


async def test_cancel_asks_and_cancel_is_the_default(opened: Opener, server: FakeServer) -> None:
    """The question names what it hits; enter does nothing, y does it; what has ended is not asked about."""
    async with opened() as drive:
        await drive.keys("2")
        await drive.shows("▶ running")
        await drive.keys("C")
        await drive.shows("Stop 1 job?", "sample/wordcount", "running on web-1", "killed after 5 s")
        await drive.keys("enter")
        await drive.lacks("Stop 1 job?")
        assert not [request for request in server.requests if request[1] == "/jobs/cancel"]
        await drive.keys("space", "space", "space", "C")
        await drive.shows("Stop 2 jobs?", "1 of them running")
        await drive.keys("y")
        await drive.shows("2 jobs told to stop")
        sent = [body for _, path, body in server.requests if path == "/jobs/cancel"]
        assert sent == [{"ids": [server.jobs[0].id, server.jobs[1].id]}]


async def test_run_again_opens_the_new_job(opened: Opener, server: FakeServer) -> None:
    """R asks, submits the same version again and shows the new job."""
    async with opened() as drive:
        await drive.keys("2", "G", "R")
        await drive.shows("Run 1 job again, with its version of then?")
        await drive.keys("right", "enter")
        await drive.shows("submitted again", "◌ queued")
        assert [body for _, path, body in server.requests if path.endswith("/again")] == [
            {"version": "same"}
        ]


async def test_job_filter_goes_to_the_server(opened: Opener, server: FakeServer) -> None:
    """`/` filters; what the server can answer is asked there; a wrong key is said while typing; esc lifts it."""
    async with opened() as drive:
        await drive.keys("2")
        await drive.shows("jobs ─ 39")
        await drive.keys("slash", "<hots=x>")
        await drive.shows("nothing here is called `hots`")
        await drive.keys("escape", "slash", "<failed>", "enter")
        await drive.shows("jobs ─ failed ─ 1")
        assert ("GET", "/jobs", {"limit": "100", "state": "failed"}) in server.requests
        await drive.keys("escape")
        await drive.shows("jobs ─ 39")


async def test_list_pages_by_cursor(opened: Opener, server: FakeServer) -> None:
    """500 rows at most are resident; the title says of how many; the next page comes when the cursor nears the end."""
    server.jobs = [make_job(n) for n in range(1, 1201)]
    async with opened() as drive:
        await drive.keys("2")
        await drive.shows("100 of 1,200")
        view = drive.console.view
        assert isinstance(view, Jobs)
        for rows in (200, 300, 400, 500):
            await drive.keys("G")
            await drive.until(lambda rows=rows: len(view.list.rows.items) == rows)  # type: ignore[misc]
        await drive.keys("G")
        await drive.shows("500 of 1,200, from number 101")


async def test_a_job_that_failed_opens_at_its_error(opened: Opener) -> None:
    """Error first, with the function's own frames."""
    async with opened() as drive:
        await drive.keys("2", "j", "j", "enter")
        await drive.shows("✗ failed", "ValueError: count is 0", 'File "function.py"', "left out")
        await drive.keys("escape")
        await drive.shows("jobs ─ 39")


async def test_edit_save_and_the_servers_refusal_at_its_line(
    opened: Opener, server: FakeServer
) -> None:
    """Edit in place.

    A refusal puts the cursor on its line; a good save makes a version; leaving keeps what was
    typed.
    """
    async with opened(100, 30) as drive:
        await drive.keys("3", "e")
        await drive.shows("ctrl+s saves a new version", "def main")
        await drive.keys("<# hello>", "enter", "escape")
        await drive.shows("the text is kept")
        await drive.keys("e")
        await drive.shows("your unsaved text", "# hello")
        server.refusals[("PATCH", "/admin/functions/sample/wordcount")] = {
            "status": 422, "code": "function_refused", "detail": "line 7: there is no `main`."}  # fmt: skip
        await drive.keys("ctrl+s")
        await drive.shows("✗ line 7: there is no `main`.")
        code = drive.console.view.code  # type: ignore[union-attr]
        assert code.cursor_location[0] == 6
        server.refusals.clear()
        await drive.keys("ctrl+s")
        await drive.shows("is the default from now on")
        body = next(body for method, _, body in reversed(server.requests) if method == "PATCH")
        assert body["source"].startswith("# hello\n")
        assert body["revision"] == 2


async def test_delete_needs_the_name(opened: Opener, server: FakeServer) -> None:
    """A function goes only when its name was typed in full."""
    async with opened() as drive:
        await drive.keys("3", "D")
        await drive.shows("cannot be taken back", "type sample/wordcount")
        await drive.keys("<sample>", "enter")
        assert not [request for request in server.requests if request[0] == "DELETE"]
        await drive.keys("</wordcount>", "enter")
        await drive.shows("deleted")
        assert [path for method, path, _ in server.requests if method == "DELETE"] == [
            "/admin/functions/sample/wordcount"
        ]


async def test_versions_diff_and_roll_back(opened: Opener, server: FakeServer) -> None:
    """The versions with what they changed; an older one becomes the default after a question."""
    async with opened(100, 30) as drive:
        await drive.keys("3", "enter")
        await drive.shows("def main")
        await drive.keys("tab")
        await drive.shows("abababababab", "cdcdcdcdcdcd", "first")
        await drive.keys("equals_sign")
        await drive.shows("from cdcdcdcdcd to ababababab")
        await drive.keys("escape", "j", "B")
        await drive.shows("Make this version the default?")
        await drive.keys("y")
        await drive.until(lambda: any(method == "PATCH" for method, _, _ in server.requests))
        assert next(body for method, _, body in server.requests if method == "PATCH") == {
            "default": "cd" * 32,
            "revision": 2,
        }


async def test_logs_follow_filter_find_and_jump(opened: Opener, server: FakeServer) -> None:
    """New lines below; filter, level and host narrow; the search steps; enter goes to the job."""
    server.lines.append(
        make_line(301, "needle here", level=40, job=server.jobs[0].id, function="sample/wordcount")
    )
    async with opened(100, 30) as drive:
        await drive.keys("5")
        await drive.shows("needle here", "301 lines", "following")
        await drive.until(lambda: bool(server.streams))
        server.log([make_line(400 + n, f"fresh {n}", host="db-2") for n in range(5)])
        await drive.shows("fresh 4", "306 lines")
        await drive.keys("slash", "<level=error !number>", "enter")
        await drive.shows("error and above", "1 of 306")
        await drive.lacks("fresh")
        await drive.keys("c")
        await drive.shows("fresh 4", "context")
        await drive.keys("escape", "escape", "ctrl+f", "<number 150>", "enter")
        await drive.shows("line number 150", "not following")
        await drive.keys("f")
        await drive.shows("fresh 4", " following")
        await drive.keys("slash", "<needle>", "enter", "k", "enter")
        await drive.shows("Jobs ▸")


async def test_a_flood_of_lines_is_bounded_and_counted(opened: Opener, server: FakeServer) -> None:
    """More lines than can be shown: the newest stay, the rest is counted, and a key still works at once."""
    server.lines = []
    async with opened(100, 30) as drive:
        await drive.keys("5")
        await drive.until(lambda: bool(server.streams))
        for batch in range(60):
            server.push(
                "logs",
                [make_line(1 + batch * 1000 + n, f"flood {batch * 1000 + n}") for n in range(1000)],
            )
        await drive.shows("flood 59999", "dropped")
        view = drive.console.view
        ring = view.lines.ring  # type: ignore[union-attr]
        assert len(ring.lines) <= 10_000
        assert ring.dropped + ring.came == 60_000
        await drive.keys("1")
        await drive.shows("hosts 2/3")


async def test_dead_server_and_recovery(opened: Opener, server: FakeServer) -> None:
    """A bar with since and next try, data kept and stale, writing off with the reason; then all by itself again."""
    async with opened(100, 30) as drive:
        await drive.keys("2")
        await drive.shows("jobs ─ 39")
        server.down = True
        server.cut()
        await drive.shows("server unreachable since", "next try in", "✗ offline")
        await drive.shows("sample/wordcount")
        await drive.keys("C")
        await drive.shows("cancel: the server is unreachable")
        server.down = False
        server.put_job(make_job(77, "dead", changed=10**7))
        await drive.keys("r")
        await drive.shows("● live", "☠ dead")
        await drive.lacks("server unreachable")


async def test_a_server_that_is_not_there_yet(server: FakeServer, opened: Opener) -> None:
    """Started before the server, the console says so and comes alive with it."""
    server.down = True
    async with opened() as drive:
        await drive.shows("server unreachable")
        server.down = False
        await drive.keys("r")
        await drive.shows("hosts 2/3")


async def test_read_only_refuses_every_write(opened: Opener, server: FakeServer) -> None:
    """The badge is there, the key says why, and the feed refuses whatever comes past the keys."""
    async with opened(read_only=True) as drive:
        await drive.shows("⚑ read-only")
        await drive.keys("2", "C")
        await drive.shows("cancel: this console is read-only")
        view = drive.console.view
        assert view is not None
        view.ask("x", lambda client: client.cancel(["1"]), lambda answer: None, writes=True)
        await drive.shows("this console is read-only.")
        assert not [request for request in server.requests if request[0] != "GET"]


async def test_a_viewer_sees_why_not(opened: Opener, server: FakeServer) -> None:
    """What one's role may not do names the role that may."""
    server.role = "viewer"
    async with opened() as drive:
        await drive.shows("live")
        await drive.keys("3", "e")
        await drive.shows("edit: needs the role admin; yours is viewer")


async def test_help_finds_and_runs(opened: Opener) -> None:
    """`?` lists this screen's keys; typing narrows; enter runs it."""
    async with opened(100, 30) as drive:
        await drive.shows("live")
        await drive.keys("question_mark")
        await drive.shows("keys ─ wall", "zoom")
        await drive.keys("<alarms open>", "enter")
        await drive.shows("alarms ─")
        assert drive.console.area == "alarms"


async def test_palette_and_command_line(opened: Opener) -> None:
    """ctrl+p and `:` reach the same actions; completion completes; an unknown word says so; history recalls."""
    async with opened(100, 30) as drive:
        await drive.keys("ctrl+p", "<notices>", "enter")
        await drive.shows("nothing was said yet")
        await drive.keys("escape", "colon", "<jo>", "tab", "<bs failed>", "enter")
        await drive.keys("colon", "<jobs failed>", "enter")
        await drive.shows("jobs ─ failed ─ 1")
        await drive.keys("colon", "<frobnicate>", "enter")
        await drive.shows("there is no command `frobnicate`")
        await drive.keys("colon", "<host we>", "tab", "enter")
        await drive.shows("Hosts ▸ web-1")
        await drive.keys("colon", "up", "up")
        assert drive.console.prompt.input.value == "frobnicate"


async def test_escape_leaves_and_never_quits(opened: Opener) -> None:
    """Out, and out again: the console stays."""
    async with opened() as drive:
        await drive.keys("2", "enter")
        await drive.shows("Jobs ▸")
        await drive.keys("escape", "escape", "escape", "escape")
        assert drive.console.is_running
        assert drive.console.area == "jobs"
        await drive.keys("left_square_bracket")
        await drive.until(lambda: drive.console.area == "wall" or "Jobs ▸" in drive.screen())


async def test_marks_follow_jobs_that_move(opened: Opener, server: FakeServer) -> None:
    """A new job on top moves the rows; what was marked stays marked, and the cursor on its job."""
    async with opened() as drive:
        await drive.keys("2")
        await drive.shows("jobs ─ 39")
        await drive.keys("space")
        marked = server.jobs[0].id
        await drive.until(lambda: bool(server.streams))
        server.put_job(make_job(500, "running", changed=10**6))
        await drive.shows("jobs ─ 40")
        view = drive.console.view
        assert isinstance(view, Jobs)
        assert view.list.rows.marks == {marked}
        assert drive.screen().count("◆") == 1


async def test_pause_keeps_what_is_shown(opened: Opener, server: FakeServer) -> None:
    """Paused, nothing moves and the header says since when; p goes on."""
    async with opened() as drive:
        await drive.keys("2")
        await drive.shows("jobs ─ 39")
        await drive.until(lambda: bool(server.streams))
        await drive.keys("p")
        server.put_job(make_job(600, "running", changed=10**6))
        await drive.shows("paused ")
        assert "jobs ─ 39" in drive.screen()
        await drive.keys("p")
        await drive.shows("jobs ─ 40")


async def test_everything_as_command_and_request(opened: Opener, server: FakeServer) -> None:
    """`.` shows actions about the thing under the cursor in both forms."""
    async with opened(120, 40) as drive:
        await drive.keys("2", "full_stop")
        job = server.jobs[0].id
        await drive.shows(
            f"dts cancel {job}", f'POST /jobs/cancel {{"ids": ["{job}"]}}', f"dts again {job}"
        )


async def test_secrets_are_never_shown(opened: Opener, server: FakeServer) -> None:
    """A secret is dots on the screen, masked in the request shown, and not kept as a draft."""
    from dts_core.model import Parameter

    secret = Parameter(name="token", kind="keyword", type="secret")
    server.functions = [make_function("sample/wordcount", parameters=[secret])]
    async with opened(120, 40) as drive:
        drive.console.go(Place("form", "sample/wordcount"))
        await drive.shows("token")
        await drive.keys("<hunter2>")
        assert "hunter2" not in drive.screen()
        view = drive.console.view
        assert view is not None
        assert "hunter2" not in json.dumps(view.subject())
        await drive.keys("escape")
        assert "hunter2" not in json.dumps(drive.console.drafts)


async def test_export_is_private_and_inert(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: FakeServer
) -> None:
    """`x` writes a file that only the owner reads; a cell that a spreadsheet would run is quoted."""
    monkeypatch.chdir(tmp_path)
    server.jobs[0] = make_job(1, "failed", submitter="=cmd()")
    async with opened() as drive:
        await drive.keys("2")
        await drive.shows("jobs ─ 39")
        await drive.keys("x", "<csv>", "enter")
        await drive.until(lambda: any(tmp_path.iterdir()))
        await drive.shows("only you can read it")
        file = next(tmp_path.iterdir())
        assert file.stat().st_mode & 0o777 == 0o600
        assert "'=cmd()" in file.read_text("utf-8")


async def test_copy_is_clean(opened: Opener, server: FakeServer) -> None:
    """What goes to the clipboard holds no control character."""
    server.lines = [make_line(1, "safe\x1b]52;c;QQ==\x07text")]
    async with opened() as drive:
        await drive.keys("5")
        await drive.shows("\\x1b]52")
        await drive.keys("y")
        await drive.shows("copied")
        assert drive.console.clipboard == "safe\\x1b]52;c;QQ==\\x07text"
        server.log([make_line(2, "rm -rf /")])
        await drive.shows("rm -rf")
        await drive.keys("asterisk", "y")
        await drive.shows("2 lines as one")
        assert "\n" not in drive.console.clipboard


async def test_host_page(opened: Opener, server: FakeServer) -> None:
    """Charts, jobs, logs, alarms and facts of one host."""
    server.hosts.append(make_host("gpu-9", 0.5))
    async with opened(120, 40) as drive:
        await drive.keys("4", "enter")
        await drive.shows("Hosts ▸ db-2", "core 0", "memory")
        await drive.keys("tab", "tab", "tab")
        await drive.shows("CPU 97% for 5 minutes")
        await drive.keys("tab")
        await drive.shows("boot id", "file systems", "/data")


async def test_themes_and_ascii(opened: Opener) -> None:
    """Each theme draws; in ASCII no other character reaches the screen."""
    async with opened(100, 30) as drive:
        await drive.shows("live")
        for _ in range(4):
            drive.console.run_named("theme")
            await drive.pilot.pause()
        assert not [text for _, text, kind in drive.console.notices if kind == "bad"]
