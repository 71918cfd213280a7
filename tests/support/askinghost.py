"""A host that wants a password and a code of a person, on a thread of its own, beside processes that log in there."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from dts_core.clients import SyncAdminClient
from dts_core.views.questions import QuestionView
from tests.support.processes import eventually
from tests.support.sshkeys import public_line
from tests.support.sshliar import Liar, lying, run_here

PASSWORD, CODE = "swordfish-Canary3", "925-Canary4"
WAIT = 120.0


@contextlib.contextmanager
def asking_server() -> Iterator[Liar]:
    """A server that wants a password and a code, on a thread of its own."""
    loop = asyncio.new_event_loop()
    made: list[Liar] = []
    over = asyncio.Event()

    async def serve() -> None:
        async with lying(run_here) as liar:
            liar.rounds = [[("Password: ", False), ("Code: ", False)]]
            liar.right = [[PASSWORD, CODE]]
            made.append(liar)
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        eventually(lambda: made, what="the server listens")
        yield made[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(WAIT)
        loop.close()


def add_asking(client: SyncAdminClient, liar: Liar) -> None:
    client.vhosts.add(
        "bank", address="127.0.0.1", port=liar.port, user="ann", auth="ask",
        known_host_key=public_line(liar.host_key),
    )  # fmt: skip


def open_question(client: SyncAdminClient, job: str) -> QuestionView:
    eventually(lambda: client.ssh.questions(job).items, seconds=WAIT, what="it asks")
    return client.ssh.questions(job).items[0]
