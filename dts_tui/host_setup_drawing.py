"""How a set-up is drawn: its steps, and of each what is known and what to do. No Textual here."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from dts_core.plain import glyphs
from dts_core.plain.cells import pad
from dts_core.text import clean
from dts_tui.draw import Line, fit, wrap
from dts_tui.host_setup import SCAN, SetUp, ended, shown
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
    credential,
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
            (pad(step.name, 11), "strong" if step.state != "waiting" else "dim"),
            (f"{STATES[step.state]} ", look.style),
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
    if step.state == "failed":
        trouble = text_lines(f"✗ {step.told}", width, "bad")
        out = [*trouble, [], *advice_lines(_FAILED[step.name], width), *([[], *out] if out else [])]
    return out


_AGAIN: Final = "enter tries it again."
_FAILED: Final = {
    ADDRESS: "Enable it, or make it anew, among the virtual hosts. " + _AGAIN,
    KEY: "See that the address and the port are right (e changes them), that the host runs, and that no firewall is "
    f"in between.\n{_AGAIN}",
    LOGIN: "See that the user is right (up to the address, then e), and that the host lets this credential in: for a "
    f"key, the line below belongs into ~/.ssh/authorized_keys there.\ne gives another credential.\n{_AGAIN}",
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
    if step.state == "doing":
        return text_lines(
            "Looking which key the host shows; nothing is shown to it …", width, "dim"
        )
    scan = it.fresh(SCAN)
    seen = ended(scan, it.vhost).told if scan is not None else {}
    pinned = [shown(each) for each in (it.document or {}).get("known_host_fingerprints") or []]
    known = [[], *text_lines("Pinned:", width), *[[("   " + each, "strong")] for each in pinned]]
    if seen.get("state") == "changed":
        told = "It shows this key:"
        return [
            *text_lines(told, width),
            *_fingerprint(seen, width),
            *known,
            [],
            *advice_lines(_CHANGED, width),
        ]
    if step.state == "so":
        return [*known[1:], [], *advice_lines("enter looks whether it still shows it.", width)]
    if seen.get("state") == "unknown":
        kind = shown(seen.get("type")).removeprefix("ssh-").partition("-")[0]
        how = COMPARE.format(kind if kind.isalnum() else "ed25519")
        return [
            *text_lines("It shows this key, and none is pinned yet:", width), [],
            *_fingerprint(seen, width), [],
            *text_lines("Compare it over another way. The host itself tells it by", width),
            [("   " + how, "text")], [],
            *advice_lines("enter pins it, once you say that it is the same.", width),
        ]  # fmt: skip
    if step.state == "failed":
        return []
    told = "Nobody has looked yet which key the host shows."
    return [
        *text_lines(told, width),
        [],
        *advice_lines("enter looks; nothing is shown to the host.", width),
    ]


_CHANGED: Final = (
    "Nobody logs in there, and an alarm is open. Somebody may stand in between: ask whoever runs the host.\n"
    "Was it set up anew? K forgets the pinned key, and asks for the reason."
)


def _fingerprint(seen: dict[str, Any], width: int) -> list[Line]:
    """Large: as it is printed everywhere, and in groups for reading it out."""
    text = shown(seen.get("fingerprint"))
    head, _, letters = text.partition(":")
    parts = [letters[index : index + GROUP] for index in range(0, len(letters), GROUP)]
    lines = wrap(" ".join(parts), max(min(width - 6, 4 * (GROUP + 1)), GROUP))
    return [
        [("   " + shown(seen.get("type")), "strong")],
        [("   " + text, "strong")],
        [],
        *[
            [("   " + ("  " if index else head[:0]) + line, "key")]
            for index, line in enumerate(lines)
        ],
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
    if step.state == "yours" and not credential(document):
        return [*out, [], *advice_lines(_NONE, width)]
    if step.state == "yours":
        return [
            *out,
            [],
            *advice_lines("enter logs in and runs `true` there; e gives another one.", width),
        ]
    return (
        out
        if step.state == "failed"
        else [*out, [], *advice_lines("e gives another credential.", width)]
    )


_NONE: Final = (
    "enter gives one: a private key that is pasted, a password, or auth `agent` for the server's SSH agent. It is "
    "sealed in the vault, and never shown again.\n"
    "What would have to be asked for at run time (auth `ask`) does not do here: set-up is a job, and runs by itself."
)


_DETAILS: Final[dict[str, Callable[[SetUp, Step, Around, int], list[Line]]]] = {
    ADDRESS: _address, KEY: _key, LOGIN: _login, FACTS: facts_lines, PLAN: plan_lines, APPLY: apply_lines,
    BEAT: beat_lines, JOB: job_lines,
}  # fmt: skip
