"""Several server processes on one store and one broker."""

import json
from contextlib import closing
from functools import partial
from pathlib import Path

from dts_core.clients import SyncAdminClient
from dts_core.clients.endpoint import local_endpoint
from tests.support.distributed import Distributed
from tests.support.processes import eventually

__all__ = ["servers"]


def url_of(data: Path) -> str:
    """Where the server of this data folder answers; empty until it does."""
    left = data / "endpoint.json"
    return json.loads(left.read_text())["url"] if left.exists() else ""


def servers(engine: Distributed, number: int) -> tuple[list[str], str]:
    """URLs of so many servers on one store, and an administrator's token."""
    names = ["server", *(f"server{each}" for each in range(2, number + 1))]
    urls = []
    for name in (
        names
    ):  # one after the other: the first makes the administrator, whose credentials it keeps
        engine.server(name)
        urls.append(eventually(partial(url_of, engine.folder / name), what=f"{name} is up"))
    token = local_endpoint(engine.folder / names[0]).token
    for url in urls:
        with closing(SyncAdminClient(url, token)) as client:
            eventually(client.session, what=f"{url} answers")
    return urls, token
