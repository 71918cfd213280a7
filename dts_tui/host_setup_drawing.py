"""How a set-up is drawn: its steps, and of each what is known and what to do. No Textual here."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from dts_core.plain import glyphs, words
from dts_core.plain.cells import pad
from dts_core.text import clean
from dts_core.views import JobView
from dts_tui.draw import Line, fit
from dts_tui.host_setup import LOOK, REMOVAL, SCAN, TRIAL, WORK, SetUp, ended, shown
from dts_tui.host_setup_lines import advice_lines, text_lines, told_lines
from dts_tui.host_setup_report import apply_lines, beat_lines, facts_lines, job_lines, plan_lines
from dts_tui.host_setup_steps import (
    ADDRESS,
    APPLY,
    BEAT,
    FACTS,
    JOB,
    KEY,
    LOGIN,
    NAMES,
    PLAN,
    STATES,
    Around,
    Step,
    asks,
    credential,
    is_changed,
)

GROUP: Final = 6
"""Letters of a fingerprint that are read out together."""
COMPARE: Final = "ssh-keygen -lf /etc/ssh/ssh_host_{}_key.pub"
MODES: Final = {
    "service": "service: its worker connects to RabbitMQ by itself",
    "agent": "agent: its worker is kept over SSH, and needs no broker",
}


def step_lines(steps: Sequence[Step], cursor: str, width: int) -> list[Line]:
    """Each step with its number, glyph, name and state; `cursor` is the one that is looked at."""
    out: list[Line] = []
    for number, step in enumerate(steps, 1):
        look = glyphs.setup(step.state)
        line: Line = [
            (f" {number} ", "dim"),
            (f"{look.glyph} ", look.style),
            (pad(step.name, 10), "strong" if step.state != "waiting" else "dim"),
            (pad(STATES[step.state], 10), look.style),
        ]
        if width >= 44:
            line.append((clean(step.told, 200), "dim"))
        line = fit(line, width)
        out.append(
            [(text, f"{style}/cursor") for text, style in line] if step.name == cursor else line
        )
    return out


def detail_lines(it: SetUp, step: Step, around: Around, width: int) -> list[Line]:
    """What is known of a step, what went wrong, and what to do."""
    if step.state == "waiting":
        before = NAMES[NAMES.index(step.name) - 1]
        return text_lines(f"Waits for what is above: {before}.", width, "dim")
    out = _DETAILS[step.name](it, step, around, width)
    if step.state == "doing" and (job := _job_of(it, step.name)) is not None:
        age = words.since(job.created_at, around.now)
        told = f" job {words.short_id(job.id)} is {clean(job.state, 40)}, {age} old; C stops it"
        out = [*out, [], [(told, "faint")]]
    if step.state == "yours" and it.is_removed:
        out = [*_removed(it, width), [], *out]
    if step.state == "failed":
        trouble = text_lines(f"✗ {step.told}", width, "bad")
        if step.name == KEY and is_changed(it):
            return [*trouble, [], *out]
        out = [*trouble, [], *advice_lines(_FAILED[step.name], width), *([[], *out] if out else [])]
    return out


def _removed(it: SetUp, width: int) -> list[Line]:
    """What is left once a set-up was taken away, and how to be rid of that too."""
    told = (
        "What set-up had made there is removed, its worker with it. The virtual host itself stays."
    )
    if (it.document or {}).get("mode") == "agent":
        told += " The gateway starts no worker there until it is set up anew."
    shows = f":vhost {shown(it.vhost)} shows the virtual host: T disables it there, D deletes it."
    return [*text_lines(told, width), *advice_lines(shows, width)]


def _job_of(it: SetUp, name: str) -> JobView | None:
    """The live job that a step waits for."""
    kinds = {KEY: (SCAN,), LOGIN: (TRIAL,), FACTS: (LOOK,), APPLY: (WORK, REMOVAL), BEAT: (WORK,)}
    return next((it.jobs[kind] for kind in kinds.get(name, ()) if kind in it.live), None)


_AGAIN: Final = "enter tries it again."
_FAILED: Final = {
    ADDRESS: "Among the virtual hosts T lets one in again that is disabled, and n makes one.\nenter looks again.",
    KEY: "See that the address and the port are right (e changes them), that the host runs, and that no firewall is "
    f"in between.\n{_AGAIN}",
    LOGIN: "See that the user is right (up to the address, then e), and that the host lets this credential in: for a "
    "key, the line below belongs into ~/.ssh/authorized_keys there (y copies it).\n"
    f"e gives another credential.\n{_AGAIN}",
    FACTS: f"Mend it there, or give another address or login above (up, then e).\n{_AGAIN}",
    PLAN: _AGAIN,
    APPLY: f"What was made stays, and is gone on from.\nl shows the whole log.\n{_AGAIN}",
    BEAT: "See that the host reaches the broker, or in mode agent what the parts say (:parts); l shows the log.\n"
    "enter sets it up again: what is as it shall be is left alone.",
    JOB: _AGAIN,
}


def _address(it: SetUp, step: Step, around: Around, width: int) -> list[Line]:
    del around
    document = it.document
    if document is None:
        return text_lines("asking …", width, "dim") if step.state == "doing" else []
    mode = str(document.get("mode", ""))
    told = [
        ("name", it.vhost, "strong"),
        ("address", f"{document.get('address')}:{document.get('port')}", "text"),
        ("user", str(document.get("user", "")), "text"),
        ("mode", MODES.get(mode, mode), "text"),
        ("reached through", str(document.get("jump") or "-"), "text"),
        ("Python there", str(document.get("python") or "python3"), "text"),
    ]
    cleaned = [(name, clean(value, 400), style) for name, value, style in told]
    return [*told_lines(cleaned, width), [], *advice_lines("e changes it.", width)]


def _key(it: SetUp, step: Step, around: Around, width: int) -> list[Line]:
    del around
    scan = it.fresh(SCAN)
    seen = ended(scan, it.vhost).told if scan is not None else {}
    if step.state == "doing":
        told = "Looking which key the host shows; nothing is shown to it …"
        return text_lines(told, width, "dim")
    if is_changed(it):
        shows = [*text_lines("It shows this key:", width), *_fingerprint(seen)]
        return [*shows, [], *_pinned(it, width), [], *advice_lines(_CHANGED, width)]
    if step.state == "so":
        again = advice_lines("enter looks whether it still shows it.", width)
        return [*_pinned(it, width), [], *again]
    if step.state == "failed":
        return []
    if seen:
        return _to_compare(seen, width)
    told = "Nobody has looked yet which key the host shows."
    looks = advice_lines("enter looks; nothing is shown to the host.", width)
    return [*text_lines(told, width), [], *looks]


_CHANGED: Final = (
    "Nobody logs in there, and an alarm is open. Somebody may stand in between: ask whoever runs the host.\n"
    "Was it set up anew? F forgets the pinned key, and asks for the reason."
)


def _to_compare(seen: dict[str, Any], width: int) -> list[Line]:
    """A key that nobody has confirmed, and how to compare it."""
    kind = shown(seen.get("type")).removeprefix("ssh-").partition("-")[0]
    how = COMPARE.format(kind if kind.isalnum() else "ed25519")
    return [
        *text_lines("It shows this key, and none is pinned yet:", width), [],
        *_fingerprint(seen), [],
        *text_lines("Compare it over another way. The host itself tells it by", width),
        [("  " + how, "text")], [],
        *advice_lines("enter pins it, once you say that it is the same.", width),
    ]  # fmt: skip


def _pinned(it: SetUp, width: int) -> list[Line]:
    """What is pinned: of each key its type, and below it the fingerprint."""
    out = text_lines("Pinned:", width)
    for each in (it.document or {}).get("known_host_fingerprints") or []:
        kind, _, text = shown(each).partition(" ")
        out += [[("  " + kind, "text")], [("  " + text, "strong")]]
    return out


def _fingerprint(seen: dict[str, Any]) -> list[Line]:
    """Large: as it is printed everywhere, and in groups for reading it out."""
    text = shown(seen.get("fingerprint"))
    letters = text.partition(":")[2]
    parts = [letters[index : index + GROUP] for index in range(0, len(letters), GROUP)]
    lines = [" ".join(parts[index : index + 4]) for index in range(0, len(parts), 4)]
    return [
        [("  " + shown(seen.get("type")), "text")],
        [("  " + text, "strong")],
        [],
        *[[("    " + line, "key")] for line in lines],
    ]


def _login(it: SetUp, step: Step, around: Around, width: int) -> list[Line]:
    del around
    document = it.document or {}
    told = [
        ("user", f"{document.get('user')}@{document.get('address')}", "text"),
        ("auth", str(document.get("auth", "")), "text"),
        ("credential", credential(document) or "none is stored", "text"),
    ]
    if public := document.get("public_key"):
        told.append(("its public key", str(public), "dim"))
    out = told_lines([(name, clean(value, 1_000), style) for name, value, style in told], width)
    if step.state == "doing":
        return [*out, [], *text_lines("Logging in, and running `true` there …", width, "dim")]
    if step.state == "failed":
        return out
    return [*out, [], *advice_lines(_login_advice(it, step), width)]


def _login_advice(it: SetUp, step: Step) -> str:
    document = it.document or {}
    if step.state != "yours":
        return "e gives another credential."
    if credential(document):
        return "enter logs in and runs `true` there; e gives another one."
    told = ["You were let in."] if it.is_let_in else []
    told += [f"enter gives one: {_GIVES}", _BY_ITSELF, *([_AS_ME] if asks(document) else [])]
    return "\n".join(told)


_GIVES: Final = (
    "a private key that is pasted, a password, or auth `agent` for the server's SSH agent. It is sealed in the vault, "
    "and never shown again."
)
_BY_ITSELF: Final = "Set-up is a job that can ask nobody, so it needs one."
_AS_ME: Final = "t only tries the login: what the host asks for is put before you."


_DETAILS: Final[dict[str, Callable[[SetUp, Step, Around, int], list[Line]]]] = {
    ADDRESS: _address, KEY: _key, LOGIN: _login, FACTS: facts_lines, PLAN: plan_lines, APPLY: apply_lines,
    BEAT: beat_lines, JOB: job_lines,
}  # fmt: skip
