"""From hosts that were found to what is written: what there is stays, and nothing is written that has no way."""

from typing import Any

import pytest

from dts_core.declared import Declared, Kept, Key
from dts_core.errors import InvalidInput
from dts_core.hostfiles import Findings, FoundHost, ImportPlan, chosen, plan_of, settled, with_known
from dts_core.hostfiles.knownkeys import KnownKeys, read_known_keys
from dts_core.ssh.keys import AsyncsshKeys
from tests.support.sshkeys import private_key, public_line

KEY = public_line(private_key())
OTHER = public_line(private_key())


def found(name: str, groups: tuple[str, ...] | None = None, **fields: Any) -> FoundHost:
    return FoundHost(name=name, where="hosts", fields={"address": name, **fields}, groups=groups)


def kept(name: str, **fields: Any) -> Kept:
    held = {"address": name, "user": "u", "port": 22, "jump": "", "labels": {}, **fields}
    return Kept(key=Key("vhosts", name), fields={"known_host_key": "", **held}, revision=3)


def known(text: str) -> list[KnownKeys]:
    return [read_known_keys("known", text, Findings(), AsyncsshKeys().host_keys)]


def plan(
    *hosts: FoundHost, there: tuple[Kept, ...] = (), keys: str = "", user: str = "u"
) -> ImportPlan:
    by_name = {host.name: host for host in hosts}
    declared, refused = plan_of(by_name, there, known(keys), user=user)
    return settled(declared, there, refused)


def writes(plan: ImportPlan) -> list[tuple[str, str, dict[str, Any]]]:
    return [(step.verb, step.key.id, dict(step.fields)) for step in plan.steps]


def test_only_what_differs_is_written() -> None:
    """On top of what there is; a host whose file tells nothing new is the same."""
    told = plan(
        found("new", port=2222),
        found("moved", address="10.0.0.9"),
        found("same"),
        there=(kept("moved", python="/opt/python"), kept("same", user="other", port=2200)),
    )
    assert writes(told) == [
        ("change", "moved", {"address": "10.0.0.9"}),
        ("create", "new", {"address": "new", "port": 2222, "user": "u", "jump": ""}),
    ]
    assert told.steps[0].revision == 3
    assert (told.same, told.refused) == (["same"], {})


def test_groups_are_labels_of_their_own() -> None:
    """Labels of before stay, but those of groups that the host is in no more."""
    there = kept("a", labels={"role": "web", "group/old": "", "group/web": ""})
    told = plan(found("a", ("web", "Site-B", "ä")), there=(there,))
    assert writes(told) == [
        ("change", "a", {"labels": {"role": "web", "group/web": "", "group/site-b": ""}})
    ]
    assert writes(plan(found("a", None, labels={"rack": "7"}), there=(there,))) == [
        ("change", "a", {"labels": {**there.fields["labels"], "rack": "7"}})
    ]


def test_a_pinned_key_is_never_replaced() -> None:
    """Another key of the same kind refuses the host; further keys are added; the same key is the same."""
    keys = f"a {KEY}\n"
    assert writes(plan(found("a"), there=(kept("a"),), keys=keys)) == [
        ("change", "a", {"known_host_key": KEY})
    ]
    assert plan(found("a"), there=(kept("a", known_host_key=KEY),), keys=keys).same == ["a"]
    refused = plan(found("a"), there=(kept("a", known_host_key=OTHER),), keys=keys).refused["a"]
    assert "another ssh-ed25519 key is pinned" in refused
    assert "forget-key a" in refused
    by_table = found("a", known_host_key=KEY)
    assert plan(by_table, there=(kept("a", known_host_key=KEY),)).same == ["a"]
    assert "a" in plan(by_table, there=(kept("a", known_host_key=OTHER),)).refused
    authority = f"@cert-authority {OTHER}"
    told = plan(found("a"), there=(kept("a", known_host_key=authority),), keys=keys)
    assert writes(told) == [("change", "a", {"known_host_key": f"{authority}\n{KEY}"})]


def test_a_key_that_any_file_revokes_is_pinned_of_none() -> None:
    """As ssh does, which looks at all of its files: the order they are given in is no matter."""
    files = known(f"a {KEY}\na {OTHER}\n") + known(f"@revoked * {KEY}\n")
    hosts = {"a": found("a")}
    for each in (files, files[::-1]):
        declared, _ = plan_of(hosts, (), each, user="u")
        assert declared["a"].fields["known_host_key"] == OTHER


def test_hosts_without_a_pinned_key_are_told() -> None:
    """So that a person looks at their keys next."""
    told = plan(
        found("a"), found("b"), found("c"), there=(kept("c", known_host_key=KEY),), keys=f"a {KEY}"
    )
    assert told.unpinned == ["b"]


def test_a_host_without_a_user_or_a_way_is_refused() -> None:
    """And so is every host behind it; the rest is written, each behind its way."""
    told = plan(
        found("gate", user="root"), found("inner", user="u", jump="gate"),
        found("behind", user="u", jump="nobody"), found("far", user="u", jump="nowhere"),
        found("nobody"), found("x", user="u", jump="y"), found("y", user="u", jump="x"),
        user="",
    )  # fmt: skip
    assert [step.key.id for step in told.steps] == ["gate", "inner"]
    assert set(told.refused) == {"behind", "far", "nobody", "x", "y"}
    assert "--user" in told.refused["nobody"]
    assert "no virtual host 'nowhere'" in told.refused["far"]
    assert "circle" in told.refused["x"]


def test_a_way_of_before_stays() -> None:
    """A file that says nothing of a jump takes none away; one that says there is none does."""
    there = (kept("gate"), kept("a", jump="gate"))
    assert plan(found("a"), there=there).same == ["a"]
    assert writes(plan(found("a", jump=""), there=there)) == [("change", "a", {"jump": ""})]


def test_named_hosts_bring_their_way_along() -> None:
    """Folded names and patterns; a name that nobody told of is a mistake."""
    hosts = {
        host.name: host
        for host in (found("gate"), found("web-1", jump="gate"), found("web-2"), found("db"))
    }
    assert list(chosen(hosts, ["web-[1-2]"])) == ["gate", "web-1", "web-2"]
    assert list(chosen(hosts, ["d*", "web-2"])) == ["web-2", "db"]
    assert list(chosen(hosts, [])) == list(hosts)
    with pytest.raises(InvalidInput, match="no host web-3"):
        chosen(hosts, ["web-[2-3]"])


def test_keys_alone_go_with_the_hosts_that_there_are() -> None:
    """Found by their address and port; other names of the file are hosts only when nothing else names any."""
    there = (kept("a", address="10.0.0.7"), kept("b", address="10.0.0.8", port=2222))
    keys = known(f"10.0.0.7 {KEY}\n[10.0.0.8]:2222 {KEY}\n10.0.0.8 {OTHER}\nnew {KEY}\n")
    alone = with_known({}, there, keys, is_alone=True)
    assert set(alone) == {"a", "b", "10.0.0.8", "new"}
    declared, refused = plan_of(alone, there, keys, user="u")
    assert refused == {}
    assert {name: _keys(each) for name, each in declared.items()} == {
        "a": KEY, "b": KEY, "10.0.0.8": OTHER, "new": KEY,
    }  # fmt: skip
    beside = with_known({"c": found("c")}, there, keys, is_alone=False)
    assert set(beside) == {"a", "b", "c"}


def _keys(document: Declared) -> Any:
    return document.fields["known_host_key"]


def test_the_alias_of_a_key_is_looked_up() -> None:
    """As ssh does with HostKeyAlias."""
    host = FoundHost(name="a", where="config", fields={"address": "10.0.0.7"}, known_as="alias")
    told = plan(host, keys=f"10.0.0.7 {OTHER}\nalias {KEY}\n")
    assert told.steps[0].fields["known_host_key"] == KEY
