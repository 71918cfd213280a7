"""The form of a call on many hosts; the question that follows names all of them."""

import json
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from dts_core.hostsets import fold
from dts_core.plain import words
from dts_core.text import clean
from dts_core.views import FunctionView
from dts_core.views.ssh import SshStarted
from dts_tui.draw import Line, fit, rule
from dts_tui.forms import FieldError
from dts_tui.host_form import COMMAND, HostChoice, HostForm, host_form, question
from dts_tui.screens.fanout_again import host_lines, opened
from dts_tui.screens.fanout_signing import lent, own_keys
from dts_tui.screens.submit import Submit
from dts_tui.widgets.confirm import Confirm

if TYPE_CHECKING:
    from dts_core.clients import AdminClient

HEAD_LINES = 3


class HostCall(Submit):
    """A command, or the function `place.key`, on the hosts that were chosen."""

    scope, area = "host-call", "admin"
    SENDS = "send-to-hosts"
    YES = "Run"
    AWAITED = True

    @property
    def choice(self) -> HostChoice:
        """Where it goes."""
        return self.console.world.calling or HostChoice((), "nothing is chosen")

    def crumbs(self) -> list[str]:
        """Below the virtual hosts."""
        return ["Admin", "virtual hosts", "run " + (self.place.key or "a command")]

    def draft(self) -> str:
        """Apart from that of the same function on workers."""
        return f"hosts {self.place.key}"

    def entered(self) -> None:
        """The form of a command is known; a function's signature is asked for."""
        if self.place.key:
            super().entered()
        elif self.form is None:
            self.lay_out(host_form([COMMAND]), HEAD_LINES)
        self.console.opened(self)

    def _got(self, function: FunctionView) -> None:
        self.function = function
        self.lay_out(host_form(function.current.parameters), HEAD_LINES)

    def about(self, width: int, height: int) -> list[Line]:
        """What runs where."""
        choice = self.choice
        left: Line = [
            (f"run {clean(self.place.key, 200) or 'a command'}", "title"),
            (f" ─ on {words.plural(len(choice.hosts), 'host')}", "accent"),
            (f" ─ {choice.how}", "dim"),
        ]
        out = [rule(left, [], width)]
        if self.fields is None:
            why = self._missing
            return [*out, [(" " + (why or "asking …"), "bad" if why else "dim")]]
        out.append(fit([(" " + clean(fold(choice.hosts), 2000), "accent")], width))
        if choice.kept_out:
            out.append([(f" {choice.kept_out} disabled: left out", "warn")])
        return out[:height]

    def do_send_to_hosts(self) -> None:
        """Check, let the server say which hosts are meant, ask."""
        form = self.form
        if self.fields is None or not isinstance(form, HostForm) or self.sending:
            return
        if self.fields.errors(shout=True):
            return
        call, hosts = form.call(self.place.key), list(self.choice.hosts)
        as_me = call.pop("as_me", False)
        self.sending = True

        def meant(answer: SshStarted) -> None:
            self.sending = False
            asked = question(form.shown_call(call), len(answer.hosts), answer.batches)
            send = partial(self._send, hosts, call, as_me=as_me)
            self.console.open_overlay(Confirm(asked, host_lines(answer.hosts), "Run", send))

        self.ask(
            "meant",
            lambda client: client.ssh.start(hosts, dry_run=True, **call),
            meant,
            failed=self.refused,
        )

    def _send(self, hosts: Sequence[str], call: Mapping[str, Any], *, as_me: bool) -> None:
        """Start it on these hosts, with the keys of the SSH agent here where that is wanted."""
        self.sending = True

        async def start(client: "AdminClient") -> SshStarted:
            return await client.ssh.start(hosts, own_keys=await own_keys() if as_me else [], **call)

        def begun(answer: SshStarted) -> None:
            if as_me:
                lent(self, answer)
            self._started(answer)

        self.ask("start", start, begun, failed=self.refused, writes=True)

    def _started(self, answer: SshStarted) -> None:
        self.sending = False
        if self.place.key:
            used = [name for name in self.console.last_used if name != self.place.key]
            self.console.last_used = [self.place.key, *used][:20]
        self.console.trail.forget(("host-call",))
        opened(self, answer)

    def subject(self) -> dict[str, str]:
        """The call as it stands, secrets masked."""
        folded = fold(self.choice.hosts)
        known = {"hosts_word": shlex.quote(folded)}
        if not isinstance(self.form, HostForm):
            return known
        try:
            call = self.form.shown_call(self.form.call(self.place.key))
            if call.pop("as_me", False):
                call["own_keys"] = ["..."]
        except FieldError:
            return known
        word = f"-- {shlex.join(call['argv'])}" if "argv" in call else f"--call {self.place.key}"
        body = {"hosts": [folded], **call}
        return known | {"call_word": word, "body": json.dumps(body, ensure_ascii=False)}
