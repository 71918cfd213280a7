"""What a user who is no member of a namespace learns of it, whatever they ask: nothing."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from dts_core.api.app import endpoints
from dts_core.api.endpoint import Permission
from dts_core.model import Host, JobError, LogRecord
from dts_core.services.messages import job_message
from tests.support.beats import make_beat
from tests.support.server import NOOP, Server, serve
from tests.support.taking import bury

MARK = "canary"
"""In every text that belongs to the other namespace."""
ROLES = ("viewer", "submitter", "operator")


async def prepared(folder_server: Server) -> list[str]:
    """A closed namespace with a failed job, one that runs, logs and a host that knows of all; the jobs' ids."""
    server = folder_server
    await server.namespace()
    await server.function()
    await server.namespace("canary_ns", bob="submitter")
    await server.function("canary_ns/canary_plan", f'"""{MARK}"""\n{NOOP}')
    await server.function("canary_ns/canary_args", "def main(canary_x):\n    return canary_x\n")
    jobs = []
    for body in (
        {"function": "canary_ns/canary_plan"},
        {"function": "canary_ns/canary_args", "args": [MARK]},
    ):
        answer = await server.call("POST", "/jobs", "bob", json=body)
        assert answer.status_code == 201, answer.text
        jobs.append(answer.json()["id"])
    await server.fail(jobs[0], JobError(type=MARK, message=MARK, traceback=MARK))
    now = server.clock.now()
    await server.store.add_logs(
        [LogRecord(now, "h1", "job", 40, MARK, jobs[0], "canary_ns/canary_plan")]
    )
    beat = make_beat(
        "h1", at=now, held=[(jobs[1], 1)], counts=[(3, "canary_ns/canary_plan", 2)],
        functions={"canary_ns/canary_plan": "00"},
    )  # fmt: skip
    await bury(
        server.broker,
        "results",
        job_message((await server.store.get_jobs(jobs))[1], at=now).message,
    )
    host = Host(name="h1", state="up", first_seen=now, last_beat=now, beat=beat)
    await server.store.save_hosts([host], [])
    return jobs


def paths(path: str, jobs: list[str]) -> list[str]:
    """The route with the other namespace's ids wherever one goes."""
    choices = {"namespace": ["canary_ns"], "name": ["canary_plan", "canary_args", "h1"],
               "id": [*jobs, "canary_ns"], "seq": ["1"]}  # fmt: skip
    names = re.findall(r"\{(\w+)\}", path)
    made = []
    for values in itertools.product(*(choices[name] for name in names)):
        one = path
        for name, value in zip(names, values, strict=True):
            one = one.replace(f"{{{name}}}", value)
        made.append(one)
    return made


def queries(each: Any, jobs: list[str]) -> list[dict[str, str]]:
    """No parameters, and each one that could name something of the other namespace."""
    known = {"job": jobs, "function": ["canary_ns/canary_plan"], "namespace": ["canary_ns"],
             "submitter": ["bob"], "host": ["h1"], "text": [MARK], "prefix": [MARK[:3]],
             "state": ["failed"], "fields": ["_id"]}  # fmt: skip
    names = getattr(each.query, "__struct_fields__", ())
    return [{}, *({name: value} for name in names for value in known.get(name, []))]


def told(answer: Any, asked: list[str], jobs: list[str]) -> list[str]:
    """What of the other namespace stands in an answer beyond the words of the question."""
    text = answer.text
    for word in asked:
        text = text.replace(word, "")
    return [word for word in (*jobs, MARK) if word in text]


@pytest.mark.parametrize("role", ROLES)
async def test_nothing_of_a_closed_namespace_is_told(tmp_path: Path, role: str) -> None:
    """Every route that reads, with the foreign ids in path and query: 404, or an answer without a trace of it."""
    leaks = []
    async with serve(tmp_path) as server:
        jobs = await prepared(server)
        for each in endpoints():
            if each.method != "GET" or each.path in ("/stream", "/schema"):
                continue
            if (
                each.permission
                > Permission[{"viewer": "READ", "submitter": "SUBMIT"}.get(role, "OPERATE")]
            ):
                continue
            for path in paths(each.path, jobs):
                for query in queries(each, jobs):
                    answer = await server.call("GET", path, role, params=query)
                    asked = [
                        *path.split("/"),
                        *query.values(),
                        "canary_ns/canary_plan",
                        "canary_ns/canary_args",
                    ]
                    named = [word for word in asked if word and word in path + json.dumps(query)]
                    if found := told(answer, named, jobs):
                        leaks.append((path, query, found, answer.text[:300]))
                    if not path.startswith("/hosts") and any(one in path for one in (MARK, *jobs)):
                        assert answer.status_code in (403, 404, 308), (path, answer.text)
    assert leaks == []


@pytest.mark.parametrize("role", ROLES)
async def test_nothing_of_a_closed_namespace_is_changed(tmp_path: Path, role: str) -> None:
    """Foreign ids in the path, in a body and in a list: told as if they were not there, and nothing happened."""
    async with serve(tmp_path) as server:
        jobs = await prepared(server)
        before = [await server.store.get_job(job) for job in jobs]
        own = (await server.call("POST", "/jobs", "ann", json={"function": "sample/noop"})).json()
        answers = [
            await server.call("POST", f"/jobs/{jobs[1]}/cancel", role, json={}),
            await server.call("POST", f"/jobs/{jobs[0]}/again", role, json={"version": "same"}),
            await server.call("POST", "/jobs", role, json={"function": "canary_ns/canary_plan"}),
            await server.call(
                "POST", "/jobs", role,
                json={"jobs": [{"function": "sample/noop"}, {"function": "canary_ns/canary_plan"}]},
            ),
            await server.call(
                "PATCH", "/admin/functions/canary_ns/canary_plan", role,
                json={"note": "x", "revision": 1},
            ),
            await server.call("DELETE", "/admin/functions/canary_ns/canary_plan", role),
        ]  # fmt: skip
        assert [each.status_code in (403, 404) for each in answers] == [True] * len(answers)
        listed = await server.call("POST", "/jobs/cancel", role, json={"ids": [*jobs, own["id"]]})
        if listed.status_code == 200:
            foreign = [each for each in listed.json()["items"] if each["id"] in jobs]
            missing = await server.call(
                "POST", "/jobs/cancel", role, json={"ids": ["01M81AHC34360P05V6ZX6VVGRE"]}
            )
            nothing = missing.json()["items"][0]
            for each in foreign:
                assert each | {"id": ""} == nothing | {"id": ""}
        assert [await server.store.get_job(job) for job in jobs] == before
        everything = await server.call("GET", "/jobs", "root", params={"namespace": "canary_ns"})
        assert len(everything.json()["items"]) == len(jobs)
