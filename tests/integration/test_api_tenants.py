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

MARK = "zebra"
"""In every text that belongs to the other namespace."""
ROLES = ("viewer", "submitter", "operator")


async def prepared(folder_server: Server) -> list[str]:
    """A closed namespace with a failed job, one that runs, logs and a host that knows of all; the jobs' ids."""
    server = folder_server
    await server.namespace()
    await server.function()
    await server.namespace("zebra_ns", bob="submitter")
    await server.function("zebra_ns/zebra_plan", f'"""{MARK}"""\n{NOOP}')
    await server.function("zebra_ns/zebra_args", "def main(zebra_x):\n    return zebra_x\n")
    jobs = []
    for body in (
        {"function": "zebra_ns/zebra_plan"},
        {"function": "zebra_ns/zebra_args", "args": [MARK]},
    ):
        answer = await server.call("POST", "/jobs", "bob", json=body)
        assert answer.status_code == 201, answer.text
        jobs.append(answer.json()["id"])
    await server.fail(jobs[0], JobError(type=MARK, message=MARK, traceback=MARK))
    now = server.clock.now()
    await server.store.add_logs(
        [LogRecord(now, "h1", "job", 40, MARK, jobs[0], "zebra_ns/zebra_plan")]
    )
    beat = make_beat(
        "h1", at=now, held=[(jobs[1], 1)], counts=[(3, "zebra_ns/zebra_plan", 2)],
        functions={"zebra_ns/zebra_plan": "00"},
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
    choices = {"namespace": ["zebra_ns"], "name": ["zebra_plan", "zebra_args", "h1"],
               "id": [*jobs, "zebra_ns"], "seq": ["1"]}  # fmt: skip
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
    known = {"job": jobs, "function": ["zebra_ns/zebra_plan"], "namespace": ["zebra_ns"],
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
                        "zebra_ns/zebra_plan",
                        "zebra_ns/zebra_args",
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
            await server.call("POST", "/jobs", role, json={"function": "zebra_ns/zebra_plan"}),
            await server.call(
                "POST", "/jobs", role,
                json={"jobs": [{"function": "sample/noop"}, {"function": "zebra_ns/zebra_plan"}]},
            ),
            await server.call(
                "PATCH", "/admin/functions/zebra_ns/zebra_plan", role,
                json={"note": "x", "revision": 1},
            ),
            await server.call("DELETE", "/admin/functions/zebra_ns/zebra_plan", role),
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
        everything = await server.call("GET", "/jobs", "root", params={"namespace": "zebra_ns"})
        assert len(everything.json()["items"]) == len(jobs)


@pytest.mark.parametrize("role", ROLES)
async def test_jobs_are_counted_within_what_one_sees(tmp_path: Path, role: str) -> None:
    """Totals and the status leave out a closed namespace; an administrator's token of any scope counts all of them."""
    async with serve(tmp_path) as server:
        await prepared(server)
        own = (await server.call("POST", "/jobs", "ann", json={"function": "sample/noop"})).json()
        await server.run(own["id"])
        asked = {"name": "scraper", "scope": "read", "days": 1}
        made = await server.call("POST", "/session/tokens", "root", json=asked)
        asked |= {"name": "of a namespace", "namespaces": ["sample"]}
        within = await server.call("POST", "/session/tokens", "root", json=asked)
        server.tokens |= {"scraper": made.json()["token"], "within": within.json()["token"]}
        seen = {}
        for who in (role, "within", "scraper", "root"):
            counts = (await server.call("GET", "/jobs/counts", who)).json()
            assert (await server.call("GET", "/status", who)).json()["jobs"] == counts
            states = {state: count for state, count in counts["states"].items() if count}
            seen[who] = (states, counts["done_last_hour"], counts["failed_last_hour"])
        assert seen[role] == seen["within"] == ({"done": 1}, 1, 0)
        assert seen["root"] == seen["scraper"] == ({"done": 1, "failed": 1, "queued": 1}, 1, 1)
        statuses = [
            (await server.call("GET", "/metrics", who)).status_code
            for who in (role, "within", "scraper", "root")
        ]
        assert statuses == [403, 403, 200, 200]
