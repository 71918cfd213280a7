"""The board without a terminal: groups, differences, the form of a call."""

import pytest

from dts_core.model import JobError
from dts_core.views.ssh import HostOutputView, HostRunList, HostRunView
from dts_tui.fanout import FanOut, compared
from dts_tui.fanout_drawing import COMPARED_LINES, counts_lines, difference, earlier_lines
from dts_tui.forms import FieldError
from dts_tui.host_form import COMMAND, batches_of, host_form, question
from dts_tui.output_text import KEPT_LINES, OutputText, output_lines


def view(
    host: str, state: str = "ok", seq: int = 1, group: str = "", **more: object
) -> HostRunView:
    return HostRunView(host=host, state=state, seq=seq, group=group, **more)  # type: ignore[arg-type]


def page(
    *items: HostRunView, total: int = 0, following: int = 0, over: bool = False
) -> HostRunList:
    return HostRunList(
        items=list(items), total=total or len(items), counts={}, next=following, is_over=over,
        position=max((item.seq for item in items), default=0), job_state="running",
    )  # fmt: skip


def output(stdout: str = "", **more: object) -> HostOutputView:
    return HostOutputView(host="a", state="ok", stdout=stdout, **more)  # type: ignore[arg-type]


def told(lines: list[list[tuple[str, str]]]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


def test_groups_stand_largest_first_and_silent_ones_last() -> None:
    """However many wait, they stand below what has answered; the same digest in another state is another group."""
    fan = FanOut()
    fan.whole(page(*(view(f"w{n}", "waiting", 0) for n in range(9)), view("a", group="x"), total=12,
                   following=10), first=True)  # fmt: skip
    told_of = [fan.complete]
    fan.whole(page(view("b", "failed", 2, "y"), view("c", "failed", 3, "y"), total=12), first=False)
    assert [*told_of, fan.complete] == [False, True]
    assert [(each.state, len(each.views)) for each in fan.groups()] == [
        ("failed", 2), ("ok", 1), ("waiting", 9),
    ]  # fmt: skip
    most = fan.majority()
    assert most is not None
    assert most.hosts == ["b", "c"]


def test_an_older_change_does_not_undo_a_newer_one() -> None:
    """A page that was asked for earlier and comes later takes no end back."""
    fan = FanOut()
    fan.whole(page(view("a", "running", 5)), first=True)
    assert fan.changed(page(view("a", "ok", 9, "x")))
    assert not fan.changed(page())
    fan.changed(page(view("a", "running", 5)))
    assert fan.hosts["a"].state == "ok"
    assert fan.position == 9


def test_unreachable_hosts_are_no_majority() -> None:
    """What never ran has printed nothing to compare with."""
    fan = FanOut()
    fan.whole(page(*(view(f"u{n}", "unreachable", 1, "z") for n in range(5)), view("a", group="x")),
              first=True)  # fmt: skip
    most = fan.majority()
    assert most is not None
    assert most.hosts == ["a"]


@pytest.mark.parametrize("width", [60, 80, 123, 124, 200])
def test_every_end_is_told_at_every_width(width: int) -> None:
    """Six ends, each with word and count; nothing is cut."""
    fan = FanOut()
    fan.whole(page(view("a")), first=True)
    text = told(counts_lines(fan, width))
    for word in (
        "ok 1",
        "failed 0",
        "unreachable 0",
        "timed out 0",
        "cancelled 0",
        "never started 0",
    ):
        assert word in text or width < 70, (width, text)


def test_a_difference_counts_what_it_leaves_out() -> None:
    """Long outputs are compared in their beginning, and it is said how much was not."""
    long = "".join(f"{number}\n" for number in range(COMPARED_LINES + 7))
    text = told(difference(("many", "one"), (output(long), output("other\n"))))
    assert "many: the last 7 lines were not compared" in text
    assert "lines more differ" in text
    assert "+other" in told(difference(("a", "b"), (output("x\n"), output("other\n"))))
    assert told(difference(("a", "b"), (output("x\n"), output("x\n")))) == "no line differs"


def test_an_output_beyond_its_bound_says_so() -> None:
    """The middle goes, and is counted; errors and results stand above what was printed."""
    long = "".join(f"{number}\n" for number in range(KEPT_LINES + 5))
    lines = output_lines(
        output(long, stderr="oops\n", result="42", error=JobError(type="ValueError", message="no"))
    )
    assert [text for text, _ in lines[:3]] == ["ValueError: no", "42", "0"]
    assert "… 5 lines are left out here …" in lines.plain()
    assert [text for text, _ in lines[-3:]] == [str(KEPT_LINES + 4), "── standard error ──", "oops"]
    assert len(OutputText()) == 0
    with pytest.raises(IndexError):
        OutputText()[0]


def test_two_runs_are_compared_by_host() -> None:
    """A host counts as the same when it stands in the same state with the same answer."""
    before = [view("a", group="x"), view("b", group="x"), view("gone", "failed", 1, "y")]
    now = [view("a", group="x"), view("b", group="z"), view("new", "unreachable")]
    found = {host: (then, here, same) for host, then, here, same in compared(now, before)}
    assert found == {
        "a": ("ok", "ok", True),
        "b": ("ok", "ok", False),
        "new": ("not in it", "unreachable", False),
        "gone": ("failed", "not in it", False),
    }
    text = told(earlier_lines(now, before, 80))
    assert "ok, but with another answer   1 host" in text
    assert "the same answer on 1 host" in text


def test_a_command_is_split_as_a_shell_would() -> None:
    """Quotes keep blanks together; one that is not closed is told at its field."""
    form = host_form([COMMAND])
    item = form.fields[0]
    form.set(item, "sh -c 'echo $HOME; id'")
    assert form.call("")["argv"] == ["sh", "-c", "echo $HOME; id"]
    form.set(item, "echo 'open")
    assert form.error(item) == "a quote is not closed"
    with pytest.raises(FieldError):
        form.call("")
    form.set(item, "   ")
    assert form.error(item) == "needs a word at least"


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("at_once", ("0", "1001", "x", "-1"), ("1", "1000")),
        ("host_seconds", ("0", "-1", "90000", "nan"), ("0.5", "86400")),
        ("batches", ("0", "1;2", "50%%", "a"), ("1, 10, 50%", "", "25%")),
        ("failures_max", ("-1", "x"), ("0", "", "7")),
    ],
)
def test_how_it_goes_is_checked_while_typing(
    name: str, wrong: tuple[str, ...], right: tuple[str, ...]
) -> None:
    """Every bound of the server is told at the field."""
    form = host_form([COMMAND])
    item = next(each for each in form.fields if each.name == name)
    for text in wrong:
        form.set(item, text)
        assert form.error(item), text
    for text in right:
        form.set(item, text)
        assert not form.error(item), text
    assert batches_of(" 1, 10 50%") == ["1", "10", "50%"]


def test_the_question_names_all_of_it() -> None:
    """What, on how many, how many at once, in which batches, until how many failures."""
    call = {"argv": ["echo", "two words"], "at_once": 8, "host_seconds": 5.0, "failures_max": 1}
    assert question(call, 12, [1, 11]) == (
        "Run echo 'two words' on 12 hosts? 8 at once, 5 s a host, batches of 1, 11, until more than 1 failure."
    )
