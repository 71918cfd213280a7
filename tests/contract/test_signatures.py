"""Signatures of functions in both stores: made with each version, added on upgrade, made again with a new key."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from dts_core.brokers.base import Broker, Delivery, Message
from dts_core.daemons.requests import CHUNK, Requests
from dts_core.errors import InvalidInput
from dts_core.model import Function, PartState, SourceReply, SourceRequest
from dts_core.services.building import ServiceOptions, build_services
from dts_core.services.container import Services
from dts_core.services.functions import FUNCTIONS
from dts_core.services.users import LOCAL
from dts_core.settings import ServerSettings
from dts_core.signing import Signer, Trust, Unsigned
from dts_core.signing.keys import new_pem
from dts_core.testing import ManualClock
from tests.contract.store_backends import Engine
from tests.support.brokers import RecordingBroker

OLD, NEW = Signer(new_pem()), Signer(new_pem())
NAMES = ("sample/a", "sample/b")


class Desk:
    """A server's services with one key, and the daemon that answers workers, over one store."""

    def __init__(self, engine: Engine, clock: ManualClock, signer: Signer | None) -> None:
        broker = cast(Broker, RecordingBroker())
        self.store = engine.store
        self.services: Services = build_services(
            engine.store,
            engine.intake,
            broker,
            clock,
            ServerSettings(),
            ServiceOptions(signer=signer),
        )
        self.requests = Requests(broker, engine.store, clock)

    async def prepare(self) -> None:
        await self.services.namespaces.create(LOCAL, {"_id": "sample"})

    async def create(self, function: str, number: int = 0) -> str:
        body = {"_id": function, "source": source_of(number)}
        return (await self.services.functions.create(LOCAL, body)).version

    async def push(self, function: str, number: int) -> str:
        revision = (await self.services.functions.get(LOCAL, function)).revision
        body = {"source": source_of(number), "revision": revision}
        return (await self.services.functions.update(LOCAL, function, body)).version

    async def delete(self, function: str) -> None:
        await self.services.functions.delete(LOCAL, function)

    async def ask(self, function: str, digest: str, offset: int = 0) -> SourceReply:
        """What a worker is answered."""
        asked = SourceRequest(digest, offset, function)
        answer = await self.requests.operate(asked, Delivery(1, "requests", Message(b"")))
        assert isinstance(answer, SourceReply)
        return answer

    async def load(self, function: str) -> Function:
        return await FUNCTIONS.load(self.store, function)

    async def signed_by(self, function: str) -> list[str]:
        return [each.signed_by for each in (await self.load(function)).versions]


def source_of(number: int) -> str:
    return f"def main():\n    return {number}\n"


def digest_of(number: int) -> str:
    return hashlib.sha256(source_of(number).encode()).hexdigest()


def counts(trust: Signer, reply: SourceReply, function: str) -> bool:
    """Whether a worker that trusts this key would run what it was answered."""
    try:
        Trust([trust.public]).check(
            function, hashlib.sha256(reply.data).hexdigest(), reply.signature
        )
    except Unsigned:
        return False
    return True


@pytest.fixture
async def unsigned(engine: Engine, clock: ManualClock) -> Desk:
    """A server without a key, as before there were any."""
    desk = Desk(engine, clock, None)
    await desk.prepare()
    return desk


async def test_a_version_is_signed_as_it_is_written(
    engine: Engine, clock: ManualClock, unsigned: Desk
) -> None:
    """Each in its own right; the source goes to workers with its signature, for that function alone."""
    desk = Desk(engine, clock, NEW)
    first = await desk.create("sample/a", 1)
    second = await desk.push("sample/a", 2)
    assert await desk.signed_by("sample/a") == [NEW.public.id] * 2
    for digest in (first, second):
        reply = await desk.ask("sample/a", digest)
        assert counts(NEW, reply, "sample/a")
        assert not counts(OLD, reply, "sample/a")
        assert not counts(NEW, reply, "sample/b")
    assert (await desk.ask("sample/b", first)).signature is None
    shown = await desk.services.functions.get(LOCAL, "sample/a")
    assert [each.signed_by for each in shown.versions] == [NEW.public.id] * 2


@pytest.mark.parametrize("function", ["", "x", "../x", "a/b/c", "\x00/\x00", "dts/status"])
async def test_no_name_brings_what_is_not_there(unsigned: Desk, function: str) -> None:
    """Whatever a worker names: the source comes, as for one of the version before, and no signature."""
    digest = await unsigned.create("sample/a", 1)
    reply = await unsigned.ask(function, digest)
    assert (reply.data, reply.signature) == (source_of(1).encode(), None)


async def test_only_the_first_chunk_brings_the_signature(
    engine: Engine, clock: ManualClock, unsigned: Desk
) -> None:
    """It is looked up once a source, not once a chunk."""
    desk = Desk(engine, clock, NEW)
    source = source_of(1) + "#" * CHUNK
    written = await desk.services.functions.create(LOCAL, {"_id": "sample/a", "source": source})
    assert (await desk.ask("sample/a", written.version)).signature is not None
    rest = await desk.ask("sample/a", written.version, CHUNK)
    assert rest.data
    assert rest.signature is None


async def test_what_was_stored_before_is_signed_on_upgrade(
    engine: Engine, clock: ManualClock, unsigned: Desk
) -> None:
    """Every version of every function, once, each function with its operation; a second start finds nothing to do."""
    for function in NAMES:
        await unsigned.create(function, 1)
        await unsigned.push(function, 2)
        assert await unsigned.signed_by(function) == ["", ""]
    before = {function: await unsigned.load(function) for function in NAMES}
    desk = Desk(engine, clock, NEW)
    assert await desk.services.signing.sign_unsigned() == 4
    for function in NAMES:
        found = await desk.load(function)
        assert [each.signed_by for each in found.versions] == [NEW.public.id] * 2
        plain = [msgspec.structs.replace(each, signature=None) for each in found.versions]
        assert plain == before[function].versions
        assert found.revision == before[function].revision + 1
        for number in (1, 2):
            assert counts(NEW, await desk.ask(function, digest_of(number)), function)
    assert await desk.services.signing.sign_unsigned() == 0
    assert (await desk.load("sample/a")).revision == before["sample/a"].revision + 1


async def test_a_server_without_a_key_signs_nothing(unsigned: Desk) -> None:
    """It starts, and says so when it is told to sign."""
    await unsigned.create("sample/a", 1)
    assert await unsigned.services.signing.sign_unsigned() == 0
    assert unsigned.services.signing.show().key == ""
    with pytest.raises(InvalidInput, match="signs nothing"):
        await unsigned.services.signing.resign(LOCAL)


async def test_signing_keeps_what_a_newer_version_has_added(
    engine: Engine, clock: ManualClock, unsigned: Desk
) -> None:
    """Also within a version that is signed."""
    await unsigned.create("sample/a", 1)
    stored = await unsigned.store.get_document("functions", "sample/a")
    assert stored is not None
    document = msgspec.msgpack.decode(stored)
    document["added"] = document["versions"][0]["added"] = {"of": "the next version"}
    found = await unsigned.load("sample/a")
    operation = (await unsigned.store.operations(limit=1))[0][1]
    await unsigned.store.write_document(
        "functions",
        "sample/a",
        msgspec.msgpack.encode(document),
        msgspec.structs.replace(operation, id="0" * 26, position=0),
        expected_revision=found.revision,
        revision=found.revision,
    )
    assert await Desk(engine, clock, NEW).services.signing.sign_unsigned() == 1
    kept = await unsigned.store.get_document("functions", "sample/a")
    assert kept is not None
    after: dict[str, Any] = msgspec.msgpack.decode(kept)
    assert after["added"] == {"of": "the next version"}
    assert after["versions"][0]["signature"]["key"] == NEW.public.id


async def test_several_servers_may_sign_at_once(
    engine: Engine, clock: ManualClock, unsigned: Desk
) -> None:
    """As when all are started after an upgrade: each version is signed, none is signed by two."""
    for number in range(6):
        await unsigned.create(f"sample/f{number}", number)
    desks = [Desk(engine, clock, NEW) for _ in range(3)]
    signed = await asyncio.gather(*(each.services.signing.sign_unsigned() for each in desks))
    assert sum(signed) == 6
    for number in range(6):
        assert await unsigned.signed_by(f"sample/f{number}") == [NEW.public.id]


async def test_a_new_key_signs_everything_again(
    engine: Engine, clock: ManualClock, unsigned: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """Until then what the old key signed counts where that is trusted; afterwards the new one is enough."""
    old, desk = Desk(engine, clock, OLD), Desk(engine, clock, NEW)
    await old.create("sample/a", 1)
    await desk.push("sample/a", 2)
    await unsigned.create("sample/b", 1)
    assert await desk.signed_by("sample/a") == [OLD.public.id, NEW.public.id]
    assert counts(OLD, await desk.ask("sample/a", digest_of(1)), "sample/a")
    assert await desk.services.signing.sign_unsigned() == 1
    assert "1 versions of functions are signed by other keys" in caplog.text
    report = await desk.services.signing.resign(LOCAL)
    assert (report.key, report.functions, report.signed) == (NEW.public.id, 1, 1)
    assert report.refused == []
    for function, number in (("sample/a", 1), ("sample/a", 2), ("sample/b", 1)):
        assert counts(NEW, await desk.ask(function, digest_of(number)), function)
    assert (await desk.services.signing.resign(LOCAL)).signed == 0


async def test_what_was_changed_in_the_store_is_named_and_not_signed(
    engine: Engine, clock: ManualClock, unsigned: Desk
) -> None:
    """A version that carries another one's signature of this key is somebody's doing."""
    desk = Desk(engine, clock, NEW)
    await desk.create("sample/a", 1)
    await desk.create("sample/b", 2)
    found, other = await desk.load("sample/a"), await desk.load("sample/b")
    forged = msgspec.structs.replace(found.versions[0], signature=other.versions[0].signature)
    await desk.services.writer.write(
        LOCAL, FUNCTIONS, found, msgspec.structs.replace(found, versions=[forged])
    )
    assert not counts(NEW, await desk.ask("sample/a", digest_of(1)), "sample/a")
    report = await desk.services.signing.resign(LOCAL)
    assert report.refused == [f"sample/a {digest_of(1)}"]
    assert not counts(NEW, await desk.ask("sample/a", digest_of(1)), "sample/a")


async def test_jobs_of_a_deleted_function_still_run(
    engine: Engine, clock: ManualClock, unsigned: Desk
) -> None:
    """Its signatures stay with its sources, also when another one takes its name."""
    desk = Desk(engine, clock, NEW)
    digest = await desk.create("sample/a", 1)
    await desk.delete("sample/a")
    assert counts(NEW, await desk.ask("sample/a", digest), "sample/a")
    await desk.create("sample/a", 2)
    assert counts(NEW, await desk.ask("sample/a", digest), "sample/a")


async def test_jobs_of_a_version_that_left_the_list_still_run(
    engine: Engine, clock: ManualClock, unsigned: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest versions leave a function's list; who signed them does not go with them."""
    monkeypatch.setattr("dts_core.services.versions.VERSIONS_MAX", 2)
    desk = Desk(engine, clock, NEW)
    await desk.create("sample/a", 0)
    for number in (1, 2, 3):
        await desk.push("sample/a", number)
    assert [each.hash for each in (await desk.load("sample/a")).versions] == [
        digest_of(2),
        digest_of(3),
    ]
    for number in range(4):
        assert counts(NEW, await desk.ask("sample/a", digest_of(number)), "sample/a")


async def test_what_was_taken_off_is_not_signed_again(
    engine: Engine, clock: ManualClock, unsigned: Desk
) -> None:
    """A new key does not vouch for it: who trusts that key alone refuses it, until somebody pushes it again."""
    old, desk = Desk(engine, clock, OLD), Desk(engine, clock, NEW)
    digest = await old.create("sample/a", 1)
    await old.delete("sample/a")
    assert (await desk.services.signing.resign(LOCAL)).signed == 0
    reply = await desk.ask("sample/a", digest)
    assert counts(OLD, reply, "sample/a")
    assert not counts(NEW, reply, "sample/a")
    await desk.create("sample/a", 1)
    assert counts(NEW, await desk.ask("sample/a", digest), "sample/a")


async def test_a_worker_may_ask_which_keys_servers_use(unsigned: Desk, clock: ManualClock) -> None:
    """For `dts doctor worker`: the keys of the servers that run, each once; those that they seal to as well."""
    for number, key in enumerate((NEW.public.id, OLD.public.id, NEW.public.id, "")):
        now = clock.now()
        await unsigned.store.save_part(
            PartState(
                id=f"p{number}", name="server", host="h", pid=number, version="1",
                started_at=now, seen_at=now, signing=key,
                sealing=[f"k{number % 2}", "k1 ops"] if number else [],
            )
        )  # fmt: skip
    reply = await unsigned.ask("", "")
    assert reply.signers == sorted([NEW.public.id, OLD.public.id])
    assert reply.sealers == ["k0", "k1", "k1 ops"]
    assert (reply.total, reply.data, reply.signature) == (0, b"", None)


async def test_the_private_half_is_nowhere(
    engine: Engine, clock: ManualClock, unsigned: Desk, tmp_path: Path
) -> None:
    """Not in a document, an operation, an answer, or the file of the store."""
    pem = new_pem()
    desk = Desk(engine, clock, Signer(pem))
    await desk.create("sample/a", 1)
    await desk.services.signing.resign(LOCAL)
    canary = pem.decode().splitlines()[1]
    said = [
        await desk.load("sample/a"),
        await desk.store.operations(limit=100),
        await desk.ask("sample/a", digest_of(1)),
        desk.services.signing.show(),
        desk.services,
    ]
    assert canary not in repr(said)
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert canary.encode() not in file.read_bytes()
