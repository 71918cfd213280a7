"""Every operation by every role, own and others' namespace, wherever the id stands: the whole table, asked."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from dts_core.api.app import endpoints
from dts_core.brokers.base import QueueSpec
from dts_core.model import LogRecord
from dts_core.services.messages import job_message
from dts_core.services.users import LOCAL
from tests.integration.test_api_permissions import ALLOWED, concrete
from tests.support.permissions import (
    GLOBAL,
    LEVELS,
    OTHER,
    OWN,
    PERSONAS,
    SCOPED,
    Cell,
    Persona,
    cells,
    count,
    routes,
)
from tests.support.permissions_document import DOCUMENT, document
from tests.support.server import SECRET, Server, serve
from tests.support.taking import bury

ORDER = {"GET": 0, "POST": 1, "PATCH": 2, "PUT": 3, "DELETE": 4}
"""Reads first, so that no write takes away what a read looks for."""


class Asking:
    """One persona with what it asks about."""

    def __init__(self, server: Server, persona: Persona) -> None:
        self.server = server
        self.persona = persona
        self._numbers = itertools.count()
        self._known: dict[str, dict[str, str]] = {}

    async def prepare(self) -> None:
        """Both namespaces, each with a function, a job, a line of its log and a dead letter."""
        await self.server.namespace()
        await self.server.function()
        await self.server.token("ann")
        vhost = {"_id": "web-1", "address": "192.0.2.1", "user": "root"}
        await self.server.services.vhosts.create(LOCAL, vhost)
        if self.persona.everywhere:
            everywhere = self.persona.user[0] or self.persona.everywhere
            body = {"_id": "persona", "role": everywhere, "secret": SECRET}
            await self.server.services.users.create(LOCAL, body)
            self.server.tokens["persona"] = await self.server.issue("persona")
        token = self.persona.token
        there = self.persona.user[1] if token else self.persona.there
        mine = {"persona": there} if there else {}
        await self.server.namespace(OWN, bob="submitter", **mine)
        await self.server.namespace(OTHER, bob="submitter")
        if token is not None:
            asked = token._asdict() | {"name": "of the persona", "days": 30}
            made = await self.server.call("POST", "/session/tokens", "persona", json=asked)
            assert made.status_code == 201, made.text
            self.server.tokens["persona"] = made.json()["token"]
        for seq, namespace in enumerate((OWN, OTHER), 1):
            await self.server.function(f"{namespace}/noop")
            job = await self.job(namespace)
            now = self.server.clock.now()
            line = LogRecord(now, "h1", "job", 40, f"line of {namespace}", job, f"{namespace}/noop")
            await self.server.store.add_logs([line])
            [stored] = await self.server.store.get_jobs([job])
            await bury(self.server.broker, "results", job_message(stored, at=now).message)
            self._known[namespace] = {"ns": namespace, "logged": job, "dead": job, "seq": str(seq)}

    async def job(self, namespace: str) -> str:
        """A job of bob's."""
        body = {"function": f"{namespace}/noop"}
        return str((await self.server.call("POST", "/jobs", "bob", json=body)).json()["id"])

    async def ask(self, cell: Cell) -> str:
        """What is wrong with the answer; empty when it is the one of the table."""
        (method, route), row = cell.route, cell.row
        if row is None:
            allowed, options = ALLOWED[cell.route]
            path, status = concrete(route, "-"), cell.status or allowed
            answer = await self._call(method, path, options)
            return "" if answer.status_code == status else _wrong(cell, answer, status)
        words = await self._words(cell.namespace, row.path + json.dumps(row.options))
        written = json.dumps(row.options).replace('"{buried}"', "{buried}")
        options = json.loads(_with(written, words))
        answer = await self._call(method, _with(row.path, words), options)
        if answer.status_code != cell.status:
            return _wrong(cell, answer, cell.status)
        proof = _with(row.proof, words)
        if proof and answer.status_code < 300 and (proof in answer.text) != cell.is_proven:
            return _wrong(cell, answer, cell.status, f"{proof!r} is wanted: {cell.is_proven}")
        return ""

    async def _words(self, namespace: str, text: str) -> dict[str, str]:
        """What the placeholders of a row stand for; what is written to is new."""
        words = self._known[namespace] | {"new": f"made_{next(self._numbers)}"}
        if "{job}" in text:
            words["job"] = await self.job(namespace)
        if "{fresh}" in text:
            words["fresh"] = f"fresh_{next(self._numbers)}"
            await self.server.function(f"{namespace}/{words['fresh']}")
        if "{buried}" in text or "{grave}" in text:
            words |= await self._buried(namespace)
        return words

    async def _buried(self, namespace: str) -> dict[str, str]:
        """The message of a job that died in a queue of its own."""
        grave = f"jobs.grave{next(self._numbers)}"
        broker = self.server.broker
        await broker.declare(QueueSpec(grave))
        [stored] = await self.server.store.get_jobs([await self.job(namespace)])
        await bury(broker, grave, job_message(stored, at=self.server.clock.now()).message)
        [letter] = await broker.dead_letters(limit=1)
        return {"buried": str(letter.seq), "grave": grave}

    async def _call(self, method: str, path: str, options: Any) -> Any:
        if self.persona.everywhere:
            return await self.server.call(method, path, "persona", **options)
        wrong = {"Authorization": "Bearer dts_" + "x" * 43}
        headers = wrong if self.persona.name == "wrong token" else {}
        return await self.server.http.request(method, path, headers=headers, **options)


def _with(text: str, words: dict[str, str]) -> str:
    for name, word in words.items():
        text = text.replace(f"{{{name}}}", word)
    return text


def _wrong(cell: Cell, answer: Any, status: int, why: str = "") -> str:
    place = cell.row.where if cell.row else "-"
    told = f"{answer.request.method} {answer.request.url} ({place}, {cell.namespace or '-'})"
    return f"{told}: {answer.status_code}, not {status} {why} {answer.text[:200]}"


def in_order(cell: Cell) -> tuple[bool, int]:
    """The logout comes last: it ends the token."""
    return cell.route == ("DELETE", "/session"), ORDER[cell.route[0]]


@pytest.mark.parametrize(
    "persona",
    [
        pytest.param(each, id=f"{each.name.replace(', ', '+').replace(' ', '-')}-{len([*cells(each)])}-cells")
        for each in PERSONAS
    ],
)  # fmt: skip
async def test_every_cell_of_the_table(tmp_path: Path, persona: Persona) -> None:
    """Status and traces of each question are as declared, for this user."""
    async with serve(tmp_path) as server:
        asking = Asking(server, persona)
        await asking.prepare()
        wrong = [
            told
            for cell in sorted(cells(persona), key=in_order)
            if (told := await asking.ask(cell))
        ]
    assert wrong == [], "\n".join(wrong)


def test_every_route_has_a_row() -> None:
    """A new route without a row fails here, and one whose declared permission is not that of its row."""
    declared = {(each.method, each.path): each.permission for each in endpoints()}
    assert sorted(routes()) == sorted(declared)
    levels = {route: level for level, found in GLOBAL.items() for route in found}
    levels |= {route: level for route, (level, _) in SCOPED.items()}
    assert {route: LEVELS[level] for route, level in declared.items()} == levels


def test_only_login_and_health_are_public() -> None:
    """Nothing else answers without a token."""
    assert set(GLOBAL["public"]) == {
        ("POST", "/session"), ("GET", "/health/live"), ("GET", "/health/ready"),
    }  # fmt: skip
    assert not any(level == "public" for level, _ in SCOPED.values())


def test_the_document_is_up_to_date() -> None:
    """`python -m tests.support.permissions_document` writes it."""
    assert DOCUMENT.read_text() == document()
    assert f"Each of {count()} cells" in document()
