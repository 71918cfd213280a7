"""A look at MongoDB with a part's own settings: version, replica set, majority, clock, indexes. Nothing is made."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from dts_core.doctor.findings import Finding, ok, problem, warning
from dts_core.places import uses_tls
from dts_core.settings import StoreSettings, masked
from dts_core.stores.mongodb.driver import Database, PyMongoError, connect, unavailable
from dts_core.stores.mongodb.indexes import INDEXES
from dts_core.stores.mongodb.reach import unreached
from dts_core.text import one_line

__all__ = ["check_mongodb"]

AREA: Final = "store"
OLDEST: Final = (4, 4)
SKEW_WARNING_SECONDS: Final = 1.0
SKEW_PROBLEM_SECONDS: Final = 5.0
PROBE: Final = "doctor"
"""Collection of the one document that is written and removed."""


async def check_mongodb(settings: StoreSettings) -> list[Finding]:
    """Look at the store of a part.

    Raises:
        ConfigError: The settings themselves are wrong.
    """
    client, database = connect(settings)
    try:
        return await _look(settings, client, database)
    except TimeoutError:
        if why := unreached(client, settings):
            return [problem(AREA, one_line(why.message, 300), why.advice)]
        what = f"{masked(settings.url)} does not answer within {settings.deadline_seconds:g} s"
        return [problem(AREA, what, "Check [store] url, and that MongoDB runs.")]
    except PyMongoError as error:
        told = unreached(client, settings) or unavailable(error)
        advice = told.advice or "Check [store] url, and that MongoDB runs."
        return [problem(AREA, one_line(told.message, 300), advice)]
    finally:
        client.close()


async def _look(settings: StoreSettings, client: Any, database: Database) -> list[Finding]:
    seconds = settings.deadline_seconds
    async with asyncio.timeout(seconds):
        before = datetime.now(UTC)
        hello = await client.admin.command("hello")
        after = datetime.now(UTC)
        version = (await client.admin.command("buildInfo")).get("version", "?")
    found = [_version(settings, str(version)), _replicas(settings, hello)]
    found += [*_clock(hello, before, after), _line(settings)]
    async with asyncio.timeout(seconds):
        found.append(await _majority(database))
    async with asyncio.timeout(seconds):
        found.append(await _indexes(database))
    return found


def _version(settings: StoreSettings, version: str) -> Finding:
    where = f"MongoDB {one_line(version)} at {one_line(masked(settings.url))}"
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < OLDEST:
        return problem(AREA, where, "Use MongoDB 4.4 or newer.")
    return ok(AREA, where)


def _replicas(settings: StoreSettings, hello: Mapping[str, Any]) -> Finding:
    if hello.get("msg") == "isdbgrid":
        return ok(AREA, "a sharded cluster; its shards are replica sets")
    if "setName" not in hello:
        what = "a standalone server: what it confirmed may be lost with it"
        advice = "Make it a replica set, of one member for a start."
        report = warning if settings.allow_standalone else problem
        return report(AREA, what, advice)
    members = len(hello.get("hosts", ()))
    count = "1 member" if members == 1 else f"{members} members"
    what = f"replica set {one_line(str(hello['setName']))} has {count} with data"
    if members < 3:
        return warning(AREA, what, "With three members one may be lost without a stop.")
    return ok(AREA, what)


def _clock(hello: Mapping[str, Any], before: datetime, after: datetime) -> list[Finding]:
    told = hello.get("localTime")
    if not isinstance(told, datetime):
        return []
    told = told if told.tzinfo is not None else told.replace(tzinfo=UTC)
    skew = max((before - told).total_seconds(), (told - after).total_seconds(), 0.0)
    what = f"its clock and ours differ by {skew:.1f} s"
    if skew >= SKEW_PROBLEM_SECONDS:
        return [problem(AREA, what, "Let both machines follow a time server.")]
    if skew >= SKEW_WARNING_SECONDS:
        return [warning(AREA, what, "Let both machines follow a time server.")]
    return [ok(AREA, what)]


def _line(settings: StoreSettings) -> Finding:
    if uses_tls(settings.url):
        return ok(AREA, "the connection is encrypted, the certificate checked")
    return warning(
        AREA, "the connection is not encrypted", "Add tls=true to [store] url, beyond one machine."
    )


async def _majority(database: Database) -> Finding:
    """One write as the store writes, and its removal."""
    probe = database[PROBE]
    made = await probe.insert_one({"at": datetime.now(UTC)})
    await probe.delete_one({"_id": made.inserted_id})
    return ok(AREA, "a write is confirmed by a majority, journaled; this user may read and write")


async def _indexes(database: Database) -> Finding:
    there = set(await database.list_collection_names())
    missing: list[str] = []
    for name, wanted in INDEXES.items():
        if name not in there:
            continue
        known = set(await database[name].index_information())
        names = (str(each.document["name"]) for each in wanted)
        missing += [f"{name}.{each}" for each in names if each not in known]
    if not there & set(INDEXES):
        return ok(AREA, "empty: collections and indexes are made at the first start")
    if missing:
        what = f"indexes are missing: {', '.join(missing)}"
        return warning(AREA, what, "They are made at the next start of a server or daemon.")
    return ok(AREA, "all indexes are there")
