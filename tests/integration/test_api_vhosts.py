"""Virtual hosts over HTTP: what each field takes, what is told of keys, and how hosts hang together."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from dts_core.services.vhostways import WAY_MAX
from tests.support.server import Server, serve
from tests.support.sshkeys import (
    PASSPHRASE,
    certificate_of,
    fingerprint_of,
    private_key,
    public_line,
)

HOST = {"address": "web-1.example.org", "user": "deploy"}
Problem = dict[str, Any]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serve(tmp_path) as made:
        yield made


async def add(server: Server, vhost: str = "web-1", **fields: Any) -> dict[str, Any]:
    answer = await server.call("POST", "/admin/vhosts", json={"_id": vhost, **HOST, **fields})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = (await server.call("GET", f"/admin/vhosts/{vhost}")).json()
    return found


async def refused(server: Server, **fields: Any) -> Problem:
    body = {"_id": "web-9", **HOST, **fields}
    answer = await server.call("POST", "/admin/vhosts", json=body)
    assert answer.status_code == 422, answer.text
    problem: Problem = answer.json()
    assert problem["advice"]
    return problem


async def test_a_host_has_defaults(server: Server) -> None:
    """Address and user suffice; what is not stored is asked for."""
    found = await add(server)
    for name, value in {
        "port": 22, "auth": "ask", "python": "python3", "mode": "service", "jump": "",
        "labels": {}, "disabled": False, "revision": 1, "known_host_fingerprints": [],
    }.items():  # fmt: skip
        assert found[name] == value, name
    missing = await server.call("POST", "/admin/vhosts", json={"_id": "h"})
    assert missing.json()["fields"] == {"address": "required", "user": "required"}


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("10.0.0.7", "10.0.0.7"),
        (" Web-1.Example.ORG. ", "web-1.example.org"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("node_7", "node_7"),
    ],
)
async def test_an_address_is_a_name_or_an_ip_address(
    server: Server, given: str, stored: str
) -> None:
    """Stored in one form, so that the same host is the same text."""
    assert (await add(server, address=given))["address"] == stored


WRONG: dict[str, list[Any]] = {
    "address": ["", "a b", "root@web-1", "web-1:22", "999.1.1.1", "0.0.0.0", "224.0.0.1", "-x",
                "a..b", "x" * 64, "1.2.3.4/24", "ssh://h", "a\nb", 7],
    "port": [0, 65536, -1, "22", 2.5, None],
    "user": ["", "-oProxyCommand=x", "a b", "a;b", "ä", "x" * 70, "a\x1b[0m"],
    "auth": ["", "none", "KEY", 1],
    "mode": ["", "daemon", None],
    "python": ["", "-c", "bin/python", "/usr/../bin/python", "python3; id", "$(id)", "x" * 500],
    "labels": [{"A": "b"}, {"a": "b c"}, {"a": 1}, {"": "x"}, {"a": "x" * 64}, ["a"],
               {f"l{n}": "" for n in range(65)}],
    "jump": ["web 2", "nowhere", 5],
    "description": ["-----BEGIN OPENSSH PRIVATE KEY-----", 5],
    "disabled": ["yes", 1],
    "known_host_key": ["nonsense", "ssh-ed25519 AAAA"],
    "password": ["tab\there", "x" * 1025, "\x1b[0m", 5],
    "key_passphrase": ["without a key"],
    "ssh_pem_cert": ["nonsense", "ä", "x" * 70_000],
    "certificate": ["nonsense"],
    "references": [{"password": "../admin.json"}, {"password": "/etc/passwd"}, {"password": ""},
                   {"ssh_pem_cert": "key"}, {"user": "a"}, {"key_passphrase": "a"}, ["a"], "a",
                   {"password": "."}, {"password": ".."}],
    "nonsense": [1],
    "public_key": ["ssh-ed25519 AAAA"],
    "sealed_password": ["AAAA"],
    "revision": [1],
}  # fmt: skip


@pytest.mark.parametrize("field", WRONG)
async def test_a_wrong_field_is_named(server: Server, field: str) -> None:
    """422 that names the field alone, says what it takes and repeats nothing of a value."""
    for value in WRONG[field]:
        problem = await refused(server, **{field: value})
        assert list(problem["fields"]) == [field], (value, problem)
        assert problem["fields"][field]
        if isinstance(value, str) and len(value) > 9:
            assert value not in str(problem), value


@pytest.mark.parametrize("vhost", ["", "a b", "-a", "x" * 130, "a/b", "ä"])
async def test_a_wrong_id_is_named(server: Server, vhost: str) -> None:
    """An id is what a host may be called."""
    answer = await server.call("POST", "/admin/vhosts", json={"_id": vhost, **HOST})
    assert (answer.status_code, list(answer.json()["fields"])) == (422, ["_id"])


async def test_every_wrong_field_is_told_at_once(server: Server) -> None:
    """Who fills in a form hears all of it."""
    problem = await refused(server, port=0, user="a b", mode="x", password="\t")
    assert set(problem["fields"]) == {"port", "user", "mode", "password"}


# --- keys and ways of logging in --------------------------------------------------------------------


async def test_of_a_key_its_kind_and_fingerprint_are_told(server: Server) -> None:
    """As OpenSSH shows them, with the line for authorized_keys; `auth` follows what is given."""
    pem = private_key()
    found = await add(server, ssh_pem_cert=pem)
    told = [found[name] for name in ("auth", "has_key", "key_type", "key_fingerprint")]
    assert told == ["key", True, "ssh-ed25519", fingerprint_of(pem)]
    assert (found["public_key"], found["key_encrypted"]) == (public_line(pem), False)
    assert "ssh_pem_cert" not in found
    assert (await add(server, "web-2", password="of the host"))["auth"] == "password"


async def test_an_encrypted_key_needs_its_passphrase_or_somebody_to_ask(server: Server) -> None:
    """Found out when it is stored; a passphrase goes when the key that it opens does."""
    pem = private_key(PASSPHRASE)
    problem = await refused(server, ssh_pem_cert=pem)
    assert "passphrase" in problem["fields"]["key_passphrase"]
    problem = await refused(server, ssh_pem_cert=pem, key_passphrase="another one")
    assert list(problem["fields"]) == ["key_passphrase"]
    asked = await add(server, ssh_pem_cert=pem, auth="ask")
    assert (asked["key_encrypted"], asked["has_passphrase"], asked["key_type"]) == (True, False, "")
    body = {"key_passphrase": PASSPHRASE, "auth": "key"}
    assert (await server.call("PATCH", "/admin/vhosts/web-1", json=body)).status_code == 200
    found = (await server.call("GET", "/admin/vhosts/web-1")).json()
    assert found["key_fingerprint"] == fingerprint_of(pem, PASSPHRASE)
    gone = await server.call("PATCH", "/admin/vhosts/web-1", json={"key_passphrase": None})
    assert list(gone.json()["fields"]) == ["key_passphrase"]
    body = {"ssh_pem_cert": private_key()}
    assert (await server.call("PATCH", "/admin/vhosts/web-1", json=body)).status_code == 200
    found = (await server.call("GET", "/admin/vhosts/web-1")).json()
    assert (found["key_encrypted"], found["has_passphrase"]) == (False, False)


async def test_a_new_key_with_the_old_passphrase_is_opened_by_it(server: Server) -> None:
    """Whoever rotates a key and keeps its passphrase gives the key alone; another passphrase is found out."""
    await add(server, ssh_pem_cert=private_key(PASSPHRASE), key_passphrase=PASSPHRASE)
    new = private_key(PASSPHRASE)
    body: dict[str, Any] = {"ssh_pem_cert": new}
    assert (await server.call("PATCH", "/admin/vhosts/web-1", json=body)).status_code == 200
    found = (await server.call("GET", "/admin/vhosts/web-1")).json()
    assert found["key_fingerprint"] == fingerprint_of(new, PASSPHRASE)
    body = {"ssh_pem_cert": private_key("another passphrase")}
    wrong = await server.call("PATCH", "/admin/vhosts/web-1", json=body)
    assert list(wrong.json()["fields"]) == ["key_passphrase"]


@pytest.mark.parametrize(
    ("auth", "field"),
    [("key", "ssh_pem_cert"), ("password", "password"), ("certificate", "ssh_pem_cert")],
)
async def test_a_way_of_logging_in_needs_what_it_uses(
    server: Server, auth: str, field: str
) -> None:
    """`agent` and `ask` need nothing stored."""
    assert list((await refused(server, auth=auth))["fields"]) == [field]
    assert (await add(server, auth="agent"))["auth"] == "agent"


async def test_a_secret_is_stored_or_named(server: Server) -> None:
    """Never both, so that nobody has to know which one counts."""
    both = await refused(server, password="of the host", references={"password": "file"})
    assert list(both["fields"]) == ["references"]
    pem = private_key(PASSPHRASE)
    found = await add(server, ssh_pem_cert=pem, references={"key_passphrase": "file"})
    assert (found["auth"], found["has_passphrase"]) == ("key", False)
    gone = await server.call("PATCH", "/admin/vhosts/web-1", json={"references": {}})
    assert list(gone.json()["fields"]) == ["key_passphrase"]


async def test_a_certificate_goes_with_its_key(server: Server) -> None:
    """One of another key is refused; a new key takes the old certificate away."""
    pem = private_key()
    certificate = certificate_of(pem)
    found = await add(server, ssh_pem_cert=pem, certificate=certificate)
    assert (found["auth"], found["certificate"]) == ("certificate", certificate.strip())
    wrong = await refused(server, ssh_pem_cert=private_key(), certificate=certificate)
    assert list(wrong["fields"]) == ["certificate"]
    body = {"ssh_pem_cert": private_key()}
    stale = await server.call("PATCH", "/admin/vhosts/web-1", json=body)
    assert list(stale.json()["fields"]) == ["certificate"]
    body = {"ssh_pem_cert": private_key(), "auth": "key"}
    assert (await server.call("PATCH", "/admin/vhosts/web-1", json=body)).status_code == 200
    assert (await server.call("GET", "/admin/vhosts/web-1")).json()["certificate"] == ""


async def test_pinned_keys_are_shown_with_their_fingerprints(server: Server) -> None:
    """For a person to compare with what the host shows."""
    one, two = private_key(), private_key(kind="ecdsa-sha2-nistp256")
    lines = f"# web-1:22\nweb-1 {public_line(one)}\nweb-1 {public_line(two)} root@web-1\n"
    found = await add(server, known_host_key=lines)
    assert found["known_host_key"].splitlines() == [public_line(one), public_line(two)]
    assert found["known_host_fingerprints"] == [
        f"ssh-ed25519 {fingerprint_of(one)}",
        f"ecdsa-sha2-nistp256 {fingerprint_of(two)}",
    ]


async def test_replacing_keeps_secrets(server: Server) -> None:
    """PUT gives all fields anew; what is never shown cannot be given back and stays."""
    await add(server, ssh_pem_cert=private_key(), port=2222, labels={"a": "b"})
    body = HOST | {"auth": "key"}
    assert (await server.call("PUT", "/admin/vhosts/web-1", json=body)).status_code == 200
    found = (await server.call("GET", "/admin/vhosts/web-1")).json()
    assert (found["has_key"], found["port"], found["labels"]) == (True, 22, {})


# --- revisions, ways, lists -------------------------------------------------------------------------


async def test_a_stale_revision_is_a_conflict(server: Server) -> None:
    """The attempt is recorded; nothing secret of what was sent comes back."""
    await add(server)
    body: dict[str, Any] = {"port": 23, "revision": 1}
    assert (await server.call("PATCH", "/admin/vhosts/web-1", json=body)).status_code == 200
    body = {"port": 24, "password": "canary password", "revision": 1}
    stale = await server.call("PATCH", "/admin/vhosts/web-1", json=body)
    assert stale.status_code == 409
    assert stale.json()["sent"] == {"port": 24}
    assert "canary" not in stale.text
    gone = await server.call("DELETE", "/admin/vhosts/web-1", params={"revision": "1"})
    assert gone.status_code == 409
    gone = await server.call("DELETE", "/admin/vhosts/web-1", params={"revision": "2"})
    assert (gone.json()["operation"], gone.json()["_id"]) == ("delete", "web-1")
    assert (await server.call("GET", "/admin/vhosts/web-1")).status_code == 404


async def test_a_host_that_others_are_reached_through_stays(server: Server) -> None:
    """The refusal names them."""
    await add(server, "gate")
    for name in ("web-1", "web-2"):
        await add(server, name, jump="gate")
    answer = await server.call("DELETE", "/admin/vhosts/gate")
    assert answer.status_code == 409
    assert "web-1, web-2" in answer.json()["detail"]
    for name in ("web-1", "web-2"):
        await server.call("PATCH", f"/admin/vhosts/{name}", json={"jump": ""})
    assert (await server.call("DELETE", "/admin/vhosts/gate")).status_code == 200


async def test_a_way_never_leads_in_a_circle(server: Server) -> None:
    """Neither to itself, nor by a detour, nor when two are changed at once."""
    for name in ("a", "b", "c"):
        await add(server, name)
    own = await server.call("PATCH", "/admin/vhosts/a", json={"jump": "a"})
    assert (own.status_code, list(own.json()["fields"])) == (422, ["jump"])
    changes = [("a", "b"), ("b", "c"), ("c", "a")]
    answers = await asyncio.gather(
        *(server.call("PATCH", f"/admin/vhosts/{one}", json={"jump": to}) for one, to in changes)
    )
    assert sorted(each.status_code for each in answers) == [200, 200, 422]


async def test_a_way_has_an_end(server: Server) -> None:
    """A chain of hosts is bounded."""
    jump = ""
    for at in range(WAY_MAX + 1):
        await add(server, f"h{at}", jump=jump)
        jump = f"h{at}"
    assert list((await refused(server, jump=jump))["fields"]) == ["jump"]


async def test_a_list_is_filtered_by_label_and_way(server: Server) -> None:
    """And shows nothing secret."""
    await add(server, "gate", password="canary password")
    await add(server, "web-1", jump="gate", labels={"role": "web"})
    for query, expected in (({"jump": "gate"}, ["web-1"]), ({"labels": "role"}, ["web-1"]),
                            ({"auth": "password"}, ["gate"]), ({}, ["gate", "web-1"])):  # fmt: skip
        answer = await server.call("GET", "/admin/vhosts", params=query)
        assert [each["_id"] for each in answer.json()["items"]] == expected
        assert "canary" not in answer.text


async def test_the_former_path_leads_to_the_plural(server: Server) -> None:
    """308, with what was asked."""
    answer = await server.call("GET", "/admin/vhost/web-1", params={"fields": "port"})
    assert answer.status_code == 308
    assert answer.headers["location"] == "/admin/vhosts/web-1?fields=port"


async def test_history_shows_secrets_as_keyed_hashes(server: Server) -> None:
    """Of every secret field, before and after; the public part of a key in clear."""
    pem = private_key()
    await add(server, ssh_pem_cert=pem, password="canary password")
    query = {"collection": "vhosts", "doc_id": "web-1"}
    [made] = (await server.call("GET", "/admin/operations", params=query)).json()["items"]
    for name in ("sealed_key", "sealed_password"):
        before, after = made["ops"][name]
        assert (before, after.startswith("hmac:"), len(after)) == (None, True, 37)
    assert made["ops"]["public_key"] == [None, public_line(pem)]
    assert "canary" not in str(made)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 1 << 40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(), part, max_size=3),
    max_leaves=6,
)


async def test_no_body_makes_the_server_fail(server: Server) -> None:
    """Whatever stands in whichever field: it is stored, or refused with the field's name."""
    await add(server)
    bodies = st.dictionaries(st.sampled_from(sorted(WRONG)), JSON, min_size=1, max_size=4)
    for body in await asyncio.to_thread(examples, bodies, 150):
        for method, path in (("POST", "/admin/vhosts"), ("PATCH", "/admin/vhosts/web-1")):
            given = {"_id": "new", **HOST, **body} if method == "POST" else body
            answer = await server.call(method, path, json=given)
            assert answer.status_code in (200, 201, 409, 422), (given, answer.text)
            if answer.status_code == 422:
                assert answer.json()["fields"].keys() <= body.keys() | {
                    "key_passphrase",
                    "password",
                }, given
    for raw in (rb'{"password":"\ud800"}', rb'{"labels":{"\ud800":""}}', b'{"port":1e999}'):
        answer = await server.call("PATCH", "/admin/vhosts/web-1", content=raw)
        assert answer.status_code in (400, 422), answer.text
    for cursor in ("x", "/", "vhosts/", "zzz/a", "\x00", "vhosts/web-1"):
        answer = await server.call("POST", "/admin/vault/rotate", json={"cursor": cursor})
        assert (answer.status_code, answer.json()["next"]) == (200, "")


def examples(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """Some values of a strategy."""
    found: list[Any] = []

    @seed(7)
    @settings(max_examples=count, database=None, phases=[Phase.generate], deadline=None)
    @given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found
