"""Virtual hosts and their secrets on every store: sealed, rotated through every crash, found in clear nowhere."""

import base64
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
import pytest

from dts_core.api.app import create_app
from dts_core.clock import Clock
from dts_core.errors import ConfigError, Conflict, KeyMissing, SealBroken
from dts_core.private import write_private
from dts_core.services.building import ServiceOptions, build_services
from dts_core.services.container import Services
from dts_core.services.users import LOCAL, USERS
from dts_core.services.vaultkeys import VaultKeys
from dts_core.services.vhosts import VHOSTS
from dts_core.settings import ServerSettings
from dts_core.stores.base import Store
from dts_core.testing import START
from dts_core.vault import KeyFile, Secret, SecretFiles, Vault, key_of, new_key
from dts_core.views import RotateRequest
from dts_core.wiring.vault import ssh_keys
from tests.contract.store_backends import STORES, Engine, opener
from tests.contract.test_store_versions import as_map, keep, stored, writer
from tests.support.brokers import RecordingBroker
from tests.support.canaries import PASSWORD, Canaries, files_under
from tests.support.mongodb import MongoAddress, documents_in
from tests.support.sshkeys import PASSPHRASE, private_key

HOST = {"address": "192.0.2.7", "user": "deploy"}
SEALED = sorted(VHOSTS.secret)
WRITE = "dts_core.vault.keyfile.write_private"


@dataclass
class Site:
    """A server without sockets on some store."""

    services: Services
    vault: Vault
    http: httpx.AsyncClient

    async def seals(self) -> set[str]:
        """Ids of the keys that the stored secrets are sealed with."""
        found, _ = await VHOSTS.page(self.services.store, limit=500)
        return {key_of(getattr(each, name)) for each in found for name in SEALED}

    async def passwords(self, count: int) -> list[str]:
        """Of every virtual host of `filled`, opened."""
        opened = [
            await self.services.vhosts.credentials(LOCAL, f"h{at}", why="test")
            for at in range(count)
        ]
        return [each.password.reveal() for each in opened if each.password]


@asynccontextmanager
async def site(engine: Engine, folder: Path, clock: Clock) -> AsyncIterator[Site]:
    vault = Vault(KeyFile.made(folder / "vault.key"))
    broker: Any = RecordingBroker()
    services = build_services(
        engine.store,
        engine.intake,
        broker,
        clock,
        ServerSettings(),
        ServiceOptions(
            vault=vault, secret_files=SecretFiles(folder / "secrets"), ssh_keys=ssh_keys
        ),
    )
    await services.users.create(LOCAL, {"_id": "root", "role": "admin", "secret": "eight letters"})
    user = await USERS.load(engine.store, "root")
    token = (await services.sessions.issue(user, 24.0, LOCAL)).token
    transport = httpx.ASGITransport(
        app=cast("Any", create_app(services, ServerSettings())), raise_app_exceptions=False
    )
    async with httpx.AsyncClient(
        transport=transport, base_url="http://t", headers={"Authorization": f"Bearer {token}"}
    ) as http:
        yield Site(services, vault, http)


@pytest.fixture
async def here(engine: Engine, tmp_path: Path, clock: Clock) -> AsyncIterator[Site]:
    async with site(engine, tmp_path, clock) as made:
        yield made


async def filled(here: Site, count: int) -> None:
    """Virtual hosts h0, h1, ... each with three secrets."""
    pem = private_key(PASSPHRASE)
    for at in range(count):
        body = HOST | {
            "_id": f"h{at}",
            "ssh_pem_cert": pem,
            "key_passphrase": PASSPHRASE,
            "password": f"password {at}",
        }
        await here.services.vhosts.create(LOCAL, body)


async def rotated(keys: VaultKeys, limit: int = 2) -> tuple[int, bool, list[str]]:
    """A whole rotation: how many were sealed, whether a key was added, what did not open."""
    cursor, sealed, added, failed = "", 0, False, list[str]()
    while True:
        page = await keys.rotate(LOCAL, RotateRequest(cursor=cursor, limit=limit))
        sealed, added = sealed + page.sealed, added or page.added
        failed += page.failed
        cursor = page.next
        if not cursor:
            return sealed, added, failed


async def test_a_host_lives_with_its_secrets(here: Site) -> None:
    """What was stored opens again; null takes it away; nothing secret is in any answer on the way."""
    canaries = Canaries()
    made = await here.http.post("/admin/vhosts", json={"_id": "web-1", **HOST, **canaries.body})
    assert made.status_code == 201, made.text
    got = (await here.http.get("/admin/vhosts/web-1")).json()
    shown = ("auth", "has_key", "has_passphrase", "has_password", "key_encrypted", "key_type")
    assert [got[name] for name in shown] == ["key", True, True, True, True, "ssh-ed25519"]
    opened = await here.services.vhosts.credentials(LOCAL, "web-1", why="test")
    assert [each.reveal() for each in (opened.key, opened.passphrase, opened.password) if each] == [
        canaries.closed_key,
        PASSPHRASE,
        PASSWORD,
    ]
    assert not canaries.found([("repr", repr(opened).encode())])
    patch = {"auth": "ask", "ssh_pem_cert": None, "password": None, "revision": 1}
    assert (await here.http.patch("/admin/vhosts/web-1", json=patch)).status_code == 200
    got = (await here.http.get("/admin/vhosts/web-1")).json()
    assert [got[name] for name in shown] == ["ask", False, False, False, False, ""]


async def test_reads_of_secrets_are_recorded(here: Site) -> None:
    """Before anything is opened, with who and what for."""
    await filled(here, 1)
    await here.services.vhosts.credentials(LOCAL, "h0", why="a call")
    (_, last), *_ = await here.services.store.operations(collection="vhosts", limit=1)
    assert (last.op_type, last.operator, last.ops) == ("open", "local", {"why": [None, "a call"]})


async def test_a_secret_moved_by_hand_does_not_open(here: Site) -> None:
    """Who may write into the store cannot have one host's password sent to another."""
    await filled(here, 2)
    one, two = [await VHOSTS.load(here.services.store, name) for name in ("h0", "h1")]
    moved = msgspec.structs.replace(one, sealed_password=two.sealed_password)
    await here.services.writer.write(LOCAL, VHOSTS, one, moved)
    with pytest.raises(SealBroken):
        await here.services.vhosts.credentials(LOCAL, "h0", why="test")
    swapped = msgspec.structs.replace(two, sealed_password=two.sealed_passphrase)
    await here.services.writer.write(LOCAL, VHOSTS, two, swapped)
    with pytest.raises(SealBroken):
        await here.services.vhosts.credentials(LOCAL, "h1", why="test")


async def test_a_secret_may_lie_in_a_file(here: Site, tmp_path: Path) -> None:
    """Named by the host and read when it is needed; one that others can read, or that is not there, is refused then."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    file = folder / "db.password"
    body = HOST | {"_id": "db-1", "references": {"password": "db.password"}}
    await here.services.vhosts.create(LOCAL, body)
    found = (await here.http.get("/admin/vhosts/db-1")).json()
    shown = [found[name] for name in ("auth", "has_password", "references")]
    assert shown == ["password", False, {"password": "db.password"}]
    with pytest.raises(ConfigError, match="not there"):
        await here.services.vhosts.credentials(LOCAL, "db-1", why="test")
    file.write_text(f"{PASSWORD}\n")
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="mode 0640") as told:
        await here.services.vhosts.credentials(LOCAL, "db-1", why="test")
    assert PASSWORD not in str(told.value)
    file.chmod(0o600)
    opened = await here.services.vhosts.credentials(LOCAL, "db-1", why="test")
    assert opened.password == Secret(PASSWORD)
    stored = await here.services.store.get_document("vhosts", "db-1")
    assert PASSWORD.encode() not in (stored or b"")
    link = folder / "link"
    link.symlink_to(file)
    await here.services.vhosts.update(LOCAL, "db-1", {"references": {"password": "link"}})
    with pytest.raises(ConfigError, match="no link"):
        await here.services.vhosts.credentials(LOCAL, "db-1", why="test")


# --- rotation -------------------------------------------------------------------------------------


async def test_a_rotation_seals_everything_anew(here: Site) -> None:
    """With a new key; everything opens as before; the record names keys and holds no secret."""
    await filled(here, 5)
    old = here.vault.ring.first.id
    assert await rotated(here.services.vault) == (15, True, [])
    new = here.vault.ring.first.id
    assert (await here.seals(), old != new) == ({new}, True)
    assert await here.passwords(5) == [f"password {at}" for at in range(5)]
    status = await here.services.vault.status()
    assert [(each.id, each.sealed, each.is_first) for each in status.keys] == [
        (new, 15, True),
        (old, 0, False),
    ]
    added = await here.services.store.operations(collection="vault", limit=10)
    assert [(each.op_type, each.ops) for _, each in added] == [("rotate", {"first": [old, new]})]
    history = await here.services.store.operations(collection="vhosts", doc_id="h0", limit=10)
    rotation = next(each for _, each in history if each.op_type == "rotate")
    assert rotation.ops.keys() == set(SEALED)
    assert all(side.startswith("hmac:") for pair in rotation.ops.values() for side in pair)


class CutShort(Exception):
    """Stands for kill -9."""


class Cutting:
    """A store whose n-th write does not come back, done or not."""

    def __init__(self, store: Store, at: float, *, is_done: bool) -> None:
        self._store = store
        self._left = at
        self._is_done = is_done

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return self._cut(found) if name in ("write_document", "add_operation") else found

    def _cut(self, write: Callable[..., Any]) -> Callable[..., Any]:
        async def cut(*given: Any, **named: Any) -> None:
            self._left -= 1
            if self._left < 0 and not self._is_done:
                raise CutShort
            await write(*given, **named)
            if self._left < 0:
                raise CutShort

        return cut


HOSTS = 3
STEPS = 1 + HOSTS
"""Writes of a rotation: the record of the new key, and one for each host."""


@pytest.mark.parametrize("is_done", [False, True], ids=["lost", "done"])
@pytest.mark.parametrize("step", range(STEPS))
async def test_a_rotation_cut_at_any_write_is_finished(
    here: Site, tmp_path: Path, clock: Clock, step: int, is_done: bool
) -> None:
    """Everything opens after the cut; the same command finishes it with the same key, and adds no second one."""
    await filled(here, HOSTS)
    store = here.services.store
    cutting: Any = Cutting(store, step, is_done=is_done)
    cut = VaultKeys(cutting, writer(cutting, clock), here.vault, [(VHOSTS, SEALED)])
    with pytest.raises(CutShort):
        await rotated(cut)
    vault = Vault(KeyFile(tmp_path / "vault.key"))  # as after a new start
    passwords = [f"password {at}" for at in range(HOSTS)]
    assert await here.passwords(HOSTS) == passwords
    keys_then = len(vault.ring.keys)
    again = VaultKeys(store, writer(store, clock), vault, [(VHOSTS, SEALED)])
    sealed, added, failed = await rotated(again)
    assert failed == []
    is_begun = step > 0 and keys_then == 2
    left = HOSTS - (step - 1 + is_done) if step else HOSTS
    assert (sealed, added) == ((3 * left, False) if is_begun and left else (3 * HOSTS, True))
    here.vault.file.read()
    assert await here.seals() == {vault.ring.first.id}
    assert await here.passwords(HOSTS) == passwords


@pytest.mark.parametrize("is_written", [False, True])
async def test_a_rotation_cut_at_the_key_file_is_finished(
    here: Site, monkeypatch: pytest.MonkeyPatch, is_written: bool
) -> None:
    """Nothing is sealed with a key that is not in the file; one that is there already is used."""
    await filled(here, 2)
    old = here.vault.ring.first.id
    write = write_private

    def cut(path: Path, content: bytes) -> None:
        if is_written:
            write(path, content)
        raise CutShort

    monkeypatch.setattr(WRITE, cut)
    with pytest.raises(CutShort):
        await rotated(here.services.vault)
    monkeypatch.setattr(WRITE, write)
    assert await here.seals() == {old}
    assert await rotated(here.services.vault) == (6, not is_written, [])
    assert len(here.vault.ring.keys) == 2
    assert await here.passwords(2) == ["password 0", "password 1"]


async def test_a_change_during_the_rotation_is_kept(here: Site, clock: Clock) -> None:
    """A host that an administrator changes between read and write is read and sealed again."""
    await filled(here, 1)
    store = here.services.store

    class Meddling:
        """Changes the host right before the rotation writes it, once."""

        is_over = False

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def write_document(self, *given: Any, **named: Any) -> None:
            if not self.is_over:
                self.is_over = True
                await here.services.vhosts.update(LOCAL, "h0", {"password": "newer"})
            await store.write_document(*given, **named)

    meddling: Any = Meddling()
    keys = VaultKeys(meddling, writer(meddling, clock), here.vault, [(VHOSTS, SEALED)])
    sealed, added, failed = await rotated(keys)
    assert (added, failed) == (True, [])
    assert sealed in (2, 3)  # the newer password was sealed with the new key already
    assert await here.passwords(1) == ["newer"]
    assert await here.seals() == {here.vault.ring.first.id}


async def test_what_does_not_open_holds_up_nothing(here: Site) -> None:
    """A damaged secret and one of a lost key are named and left; all others are sealed anew, now and later."""
    await filled(here, 3)
    spoiled, lost, _ = [await VHOSTS.load(here.services.store, f"h{at}") for at in range(3)]
    broken = bytearray(spoiled.sealed_password)
    broken[-1] ^= 1
    after = msgspec.structs.replace(spoiled, sealed_password=bytes(broken))
    await here.services.writer.write(LOCAL, VHOSTS, spoiled, after)
    foreign = lost.sealed_key[:1] + b"\xff" * 6 + lost.sealed_key[7:]
    after = msgspec.structs.replace(lost, sealed_key=foreign)
    await here.services.writer.write(LOCAL, VHOSTS, lost, after)
    for _ in range(2):
        sealed, added, failed = await rotated(here.services.vault)
        assert (sealed, added, failed) == (7, True, ["vhosts/h0", "vhosts/h1"])
    status = await here.services.vault.status()
    missing = [(each.id, each.sealed) for each in status.keys if not each.in_file]
    assert missing == [("f" * 12, 1)]


async def test_shared_keys_are_added_by_hand(here: Site) -> None:
    """Where other servers have copies of the file no key is added here; one that was added is used."""
    await filled(here, 1)
    here.vault.is_shared = True
    with pytest.raises(Conflict, match="copies"):
        await rotated(here.services.vault)
    key = new_key()
    KeyFile(here.vault.file.path).add(key, is_first=True)
    assert await rotated(here.services.vault) == (3, False, [])
    assert await here.seals() == {key.id}


async def test_without_a_vault_no_secret_is_taken(engine: Engine, clock: Clock, here: Site) -> None:
    """A host without secrets is; the refusal says what to do."""
    here.services.vhosts._vault = None
    await here.services.vhosts.create(LOCAL, {"_id": "plain", **HOST})
    with pytest.raises(KeyMissing, match="new-key"):
        await here.services.vhosts.create(LOCAL, {"_id": "h1", **HOST, "password": "secret"})


# --- other versions -------------------------------------------------------------------------------


async def test_hosts_of_other_versions_are_read_and_kept(here: Site) -> None:
    """An older one is completed; what a newer one has put in stays through a change and through a rotation."""
    await filled(here, 1)
    store = here.services.store
    bare = {"id": "old", "address": "h", "user": "u", "created_at": START, "updated_at": START}
    await keep(store, VHOSTS, bare | {"mood": "new", "labels": {"a": "b"}})
    before = await VHOSTS.load(store, "old")
    assert (before.port, before.auth, before.mode, before.python) == (
        22,
        "ask",
        "service",
        "python3",
    )
    await here.services.vhosts.update(LOCAL, "old", {"password": "a new one"})
    assert await rotated(here.services.vault) == (4, True, [])
    found = await stored(store, VHOSTS, "old")
    assert found["mood"] == "new"
    assert found.keys() == as_map(before).keys() | {"mood"}
    opened = await here.services.vhosts.credentials(LOCAL, "old", why="test")
    assert opened.password is not None
    assert opened.password.reveal() == "a new one"


# --- canaries -------------------------------------------------------------------------------------


async def provoked(here: Site, canaries: Canaries) -> list[tuple[str, bytes]]:
    """Every kind of write and refusal with secrets in right and wrong fields: what was answered."""
    answers: list[tuple[str, bytes]] = []

    async def call(method: str, path: str, **options: Any) -> int:
        answer = await here.http.request(method, path, **options)
        head = "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
        answers.append((f"{method} {path}", head.encode() + answer.content))
        return answer.status_code

    base = {"_id": "web-1", **HOST}
    assert await call("POST", "/admin/vhosts", json=base | canaries.body) == 201
    assert await call("POST", "/admin/vhosts", json=base | canaries.body) == 409
    patch = {"ssh_pem_cert": canaries.open_key, "key_passphrase": None}
    dry = {"dry_run": "true"}
    assert await call("PATCH", "/admin/vhosts/web-1", json=patch, params=dry) == 200
    assert await call("PATCH", "/admin/vhosts/web-1", json=patch) == 200
    assert await call("PUT", "/admin/vhosts/web-1", json=HOST | canaries.body) == 200
    stale = canaries.body | {"revision": 1}
    assert await call("PATCH", "/admin/vhosts/web-1", json=stale) == 409
    plain = [name for name in VHOSTS.fields if name not in canaries.body]
    for secret in (canaries.open_key, canaries.closed_key):
        for name in [*plain, "_id"]:
            for value in (secret, [secret], {"a": secret}):
                body = {"_id": "web-2", **HOST, name: value}
                assert await call("POST", "/admin/vhosts", json=body) == 422, name
                wrong = {name: value, "revision": 1}
                assert await call("PATCH", "/admin/vhosts/web-1", json=wrong) == 422, name
    for value in canaries.values:
        wrong = {"ssh_pem_cert": value[: len(value) // 2]}
        assert await call("PATCH", "/admin/vhosts/web-1", json=wrong) == 422
        for field in canaries.body:
            assert await call("PATCH", "/admin/vhosts/web-1", json={field: [value]}) == 422
        for name in ("auth", "mode", "port", "disabled", "labels", "certificate", "known_host_key"):
            assert await call("PATCH", "/admin/vhosts/web-1", json={name: value}) == 422
        cut = b'{"password": "' + value.encode()
        assert await call("PATCH", "/admin/vhosts/web-1", content=cut) == 400
    mismatched = {"ssh_pem_cert": canaries.closed_key, "key_passphrase": PASSWORD}
    assert await call("PATCH", "/admin/vhosts/web-1", json=mismatched) == 422
    for path in ("/admin/vhosts", "/admin/vhosts/web-1", "/admin/operations", "/admin/vault"):
        assert await call("GET", path) == 200
    assert await call("GET", "/admin/vhosts", params={"text": "canary", "sort": "-address"}) == 200
    history = {"collection": "vhosts", "doc_id": "web-1", "from": "0", "to": "2"}
    assert await call("GET", "/admin/operations/difference", params=history) == 200
    assert await call("POST", "/admin/vault/rotate", json={}) == 200
    return answers


@pytest.mark.parametrize("name", STORES)
async def test_no_secret_lies_anywhere(
    name: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Known secrets in every secret field and in every wrong one: in no file, document, answer, record or log line."""
    caplog.set_level(logging.DEBUG)
    canaries = Canaries()
    url = ""
    if name == "mongodb":
        address: MongoAddress = request.getfixturevalue("mongodb")
        url = address.fresh()
    async with (
        opener(name, lambda: url)(tmp_path, clock) as engine,
        site(engine, tmp_path, clock) as here,
    ):
        places = await provoked(here, canaries)
        places += files_under(tmp_path)  # with the WAL
        places += documents_in(url) if url else []
        records = await engine.store.operations(limit=1000)
        places += [("operations", msgspec.json.encode(each)) for each in records]
    places += files_under(tmp_path)
    places += [("log", caplog.text.encode()), ("screen", "".join(capfd.readouterr()).encode())]
    assert len(places) > 100
    assert canaries.found(places) == []


def test_the_search_finds_every_form() -> None:
    """A search that finds nothing has to be able to find something."""
    canaries = Canaries()
    for value in (PASSWORD, PASSPHRASE):
        for before in range(3):
            text = b"x" * before + value.encode() + b"yz"
            for form in (text, text[::-1], base64.b64encode(text), text.hex().encode()):
                assert canaries.found([("p", b"..." + form)])
    assert canaries.found([("p", canaries.open_key.encode())])
    assert canaries.found([("p", canaries.closed_key.encode())])
