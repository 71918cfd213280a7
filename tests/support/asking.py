"""What people and programs ask of a server, one of each: for outages, where every one has to be answered in time."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import httpx

PROMISED_SECONDS: Final = 5.0
"""In which every request is answered, whatever is away."""
_numbers = itertools.count(1)


class Ask(NamedTuple):
    """One request; in path and body NEW is another name each time."""

    method: str
    path: str
    body: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """As it is told."""
        return f"{self.method} {self.path}"


class Answer(NamedTuple):
    """What came of one; status 599: nothing."""

    ask: Ask
    status: int
    seconds: float
    detail: str
    content: dict[str, Any]


def asks(
    function: str, host: str, *, args: Sequence[str] = (), user: str = "root", secret: str = ""
) -> list[Ask]:
    """Every way in which a request meets store and broker.

    Args:
        function: One that may be submitted.
        host: One that was seen.
        args: Of the function.
        user: Whoever logs in, when there is a secret.
        secret: The user's.
    """
    job = {"function": function, "args": list(args)}
    login = [Ask("POST", "/session", {"user": user, "secret": secret})] if secret else []
    return [
        *login,
        Ask("POST", "/jobs", job),
        Ask("POST", "/jobs?wait=0.5", job),
        Ask("POST", "/jobs", {"jobs": [job, job]}),
        Ask("POST", "/jobs", job | {"queue": "NEW"}),
        Ask("POST", "/jobs", job | {"host": host}),
        Ask("POST", "/queues/jobs.default/pause"),
        Ask("POST", "/queues/jobs.default/resume"),
        Ask("POST", f"/hosts/{host}/drain"),
        Ask("POST", f"/hosts/{host}/undrain"),
        Ask("POST", "/queues/dead-letters/send-again", {"seqs": [1]}),
        Ask("POST", "/queues/dead-letters/discard", {"seqs": [1_000_000]}),
        Ask("POST", "/admin/namespaces", {"_id": "NEW"}),
        Ask("GET", "/jobs"),
        Ask("GET", "/jobs?text=x"),
        Ask("GET", "/status"),
        Ask("GET", "/queues"),
        Ask("GET", "/queues/dead-letters"),
        Ask("GET", "/hosts"),
        Ask("GET", "/alarms"),
        Ask("GET", "/logs"),
        Ask("GET", "/session"),
        Ask("GET", "/admin/functions"),
        Ask("GET", "/admin/operations"),
        Ask("GET", "/metrics"),
        Ask("GET", "/health/ready"),
        Ask("GET", "/health/live"),
    ]


async def answer(http: httpx.AsyncClient, ask: Ask, token: str) -> Answer:
    """Ask it once."""
    new = f"new{next(_numbers)}_{time.time_ns() % 10**9}"
    body = ask.body and {name: new if value == "NEW" else value for name, value in ask.body.items()}
    headers = {"Authorization": f"Bearer {token}"}
    began = time.monotonic()
    try:
        got = await http.request(ask.method, ask.path, json=body, headers=headers, timeout=60)
    except httpx.HTTPError as error:
        return Answer(ask, 599, time.monotonic() - began, repr(error), {})
    seconds = time.monotonic() - began
    is_json = "json" in got.headers.get("content-type", "")
    content = got.json() if is_json and isinstance(got.json(), dict) else {}
    said = f"{content.get('detail', '')} {content.get('advice', '')}"
    return Answer(ask, got.status_code, seconds, said.strip(), content)


async def answers(http: httpx.AsyncClient, every: Sequence[Ask], token: str) -> list[Answer]:
    """Ask all of them at once."""
    return await asyncio.gather(*(answer(http, each, token) for each in every))
