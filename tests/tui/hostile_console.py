"""Runs a real console on a server whose every text is hostile (argument `hostile`) or harmless (`calm`)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from dts_core.model import JobError
from dts_core.views import PartView, QueueView
from dts_tui.app import Console
from tests.tui.fake_server import (
    FakeServer,
    make_dead,
    make_function,
    make_host,
    make_job,
    make_line,
)

OSC52 = "\x1b]52;c;aGFjaw==\x07"
PAYLOADS = [
    f"osc{OSC52}end",
    "title\x1b]0;owned\x07end",
    "clear\x1b[2Jend",
    "c1\x9b2Jend\x9d52;c;QQ==\x9c",
    "bidi\u202egnp.exe\u202c",
    "zero\u200bwidth\ufeff",
    "nul\x00del\x7fbel\x07bs\x08cr\rlf",
    "[/b]closing",
    "[@click=app.quit]quit[/]",
    "[red]red[0][",
    "\x1bPq#0;2;0;0;0\x1b\\sixel",
    "lone\ud800surrogate",
    "sep\u2028line\u2029",
]


def server(hostile: bool) -> FakeServer:
    fake = FakeServer()
    texts = PAYLOADS if hostile else ["calm text"]
    all_of = " ".join(texts).replace("\ud800", "")
    texts = [text.replace("\ud800", "") for text in texts]
    fake.lines = [
        make_line(n + 1, text, level=40, host=f"h{text}", source=f"/var/{text}")
        for n, text in enumerate(texts)
    ]
    fake.lines.append(make_line(90, "x" * 1_000_000 + all_of))
    fake.hosts = [make_host(f"host {text}") for text in texts] + [make_host("web-1")]
    error = JobError(type=f"E{texts[0]}", message=all_of, traceback="\n".join(texts))
    fake.jobs = [
        make_job(
            n,
            "failed",
            function=f"ns/{text}",
            host=text,
            submitter=text,
            error=error,
            reason=text,
            kwargs={text: text},
            result={text: [text]},
        )
        for n, text in enumerate(texts)
    ]
    fake.jobs.append(make_job(50, "running", progress=0.5, progress_text=all_of))
    fake.jobs.append(make_job(51, "done", result={text: text for text in texts}, result_size=99))
    fake.functions = [make_function(f"ns/f{n}{text}") for n, text in enumerate(texts)]
    fake.functions.append(make_function("sample/wordcount"))
    fake.sources["sample/wordcount"] = '"""' + all_of + '"""\n'
    fake.queues = [
        QueueView(name=f"jobs.{text}", ready=1, unacked=0, consumers=0) for text in texts
    ]
    fake.parts = [PartView(name=text, state=text, words=text, host=text, pid=1) for text in texts]
    fake.dead = [
        make_dead(
            n + 1, queue=text, reason=text, type=text, message_id=text, body=all_of + "\n" + text,
            headers={text: text}, content_type=text, correlation_id=text,
        )
        for n, text in enumerate(texts)
    ]  # fmt: skip
    return fake


if __name__ == "__main__":
    Console(
        server(sys.argv[1] == "hostile").connect,
        server=PAYLOADS[0] if sys.argv[1] == "hostile" else "calm",
    ).run()
