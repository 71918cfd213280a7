"""Output of hosts printed as it comes: each line once, under its host's name, however the news of it come."""

from typing import Any

import pytest

from dts_core.cli.ssh_stream import Printed
from dts_core.model import JobError
from dts_core.views.ssh import HostLiveView, HostRunList, HostRunView


class Client:
    """A server whose hosts have printed these lines by now; it is its own `ssh`."""

    def __init__(self, **lines: list[str]) -> None:
        self.ssh = self
        self.lines = lines
        self.over: dict[str, HostRunView] = {}
        self.missed = 0

    def live(self, job: str, host: str, *, stdout: int, stderr: int) -> HostLiveView:
        new = self.lines[host][stdout:]
        ended = self.over.get(host)
        missed, self.missed = self.missed, 0
        return HostLiveView(
            host=host,
            state=ended.state if ended else "running",
            error=ended.error if ended else None,
            stdout="".join(f"{line}\n" for line in new),
            stderr="aside\n" if not stderr else "",
            stdout_at=stdout + len(new),
            stderr_at=1,
            stdout_missed=missed,
            is_over=ended is not None,
        )

    def told(self, *hosts: str) -> HostRunList:
        """The news that these have changed."""
        items = [self.over.get(host) or HostRunView(host=host, state="running") for host in hosts]
        return HostRunList(
            items=items, total=2, counts={}, position=0, job_state="running", is_over=False
        )


def printed(client: Client, hosts: int) -> Printed:
    stand_in: Any = client
    return Printed(stand_in, "J", hosts)


def test_lines_of_several_hosts_bear_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    """As they come, the streams apart; what is over is told once, though the news of its end come later."""
    client = Client(a=["one", "two"], b=["\x1b[2Jthree"])
    shown = printed(client, 2)
    shown.show(client.told("a"))
    said = capsys.readouterr()
    assert (said.out, said.err) == ("a: one\na: two\n", "a: aside\n")
    client.lines["a"].append("last")
    client.over["a"] = HostRunView(
        host="a", state="failed", error=JobError(type="Broken", message="by itself", traceback="tb")
    )
    shown.show(client.told("b"))
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "a: last"
    assert said.out.splitlines()[1].startswith("b: ")
    assert "\x1b" not in said.out
    assert said.err == "a: tb\na: failed: Broken: by itself\nb: aside\n"
    shown.show(client.told("a"))
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


def test_one_host_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """No name before its lines; what was left out is counted where it is missing, on standard error."""
    client = Client(a=["one"])
    client.missed = 7
    shown = printed(client, 1)
    shown.show(client.told("a"))
    shown.show(client.told())
    said = capsys.readouterr()
    assert said.out == "one\n"
    assert said.err.splitlines() == [
        "... 7 bytes left out: they came faster than they are shown ...", "aside",
    ]  # fmt: skip
