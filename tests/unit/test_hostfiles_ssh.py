"""Files of ssh read for an import: settings that count for a name, ways, and host keys."""

import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core.cli.admin_output import read_small_file
from dts_core.hostfiles import Findings
from dts_core.hostfiles.knownkeys import KnownKeys, read_known_keys
from dts_core.hostfiles.sshconfig import read_lines
from dts_core.hostfiles.sshhosts import read_ssh_config
from dts_core.hostfiles.ways import Hop, hops_of, hops_of_command, hops_of_options
from dts_core.hostsets import pattern
from dts_core.ssh.keys import AsyncsshKeys
from tests.support.sshkeys import private_key, public_line

KEY = public_line(private_key())
OTHER = public_line(private_key())


def config(folder: Path, text: str, *names: str) -> Findings:
    path = folder / "config"
    path.write_text(text)
    return read_ssh_config(path, read_small_file, names)


def fields(found: Findings) -> dict[str, dict[str, Any]]:
    return {name: host.fields for name, host in found.hosts.items()}


def keys(text: str) -> tuple[KnownKeys, Findings]:
    findings = Findings()
    return read_known_keys("known", text, findings, AsyncsshKeys().host_keys), findings


def hashed(name: str, salt: bytes = b"salt of twenty bytes") -> str:
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


# --- ssh_config ---------------------------------------------------------------------------------


def test_the_first_setting_of_a_name_counts(tmp_path: Path) -> None:
    """As for ssh: whatever comes first, of blocks whose patterns take the name and exclude it nowhere."""
    found = config(
        tmp_path,
        """
        # ours
        Host web-1 "web 2" web-3   # these
            HostName=%h.example.org
            port = 2222
        Host web-* !web-3
            User deploy
            Port 22
            IdentityFile ~/.ssh/id_web
        Host *
            User root
        """,
    )
    assert found.mistakes == []
    assert fields(found) == {
        "web-1": {"address": "web-1.example.org", "port": 2222, "user": "deploy"},
        "web 2": {"address": "web 2.example.org", "port": 2222, "user": "root"},
        "web-3": {"address": "web-3.example.org", "port": 2222, "user": "root"},
    }
    assert "its name cannot be" in found.hosts["web 2"].refused
    assert found.hosts["web-1"].notes == (
        "its private key ~/.ssh/id_web is not read: give it with --key-file",
    )
    assert found.hosts["web-1"].where == f"{tmp_path / 'config'}, line 3"


def test_a_name_of_a_pattern_is_asked_for(tmp_path: Path) -> None:
    """Settings for web-* alone name no host; whoever names web-7 has them, and nobody has those of all names."""
    text = "Host web-*\n User deploy\nHost *\n Port 2222\n"
    assert fields(config(tmp_path, text)) == {}
    found = config(tmp_path, text, "web-7", "other")
    assert fields(found) == {"web-7": {"address": "web-7", "user": "deploy", "port": 2222}}


def test_hosts_of_a_way_come_with_it(tmp_path: Path) -> None:
    """Each is a virtual host behind the one before; one that the file does not name too, as the way says."""
    found = config(
        tmp_path,
        """
        Host inner
          ProxyJump ops@outer:2200,middle
        Host middle
          ProxyJump ops@outer:2200
          User mid
        Host old
          ProxyCommand ssh -q -W %h:%p gate
        Host direct
          ProxyJump none
        Host odd
          ProxyCommand nc -x proxy %h %p
        """,
    )
    assert fields(found) == {
        "inner": {"address": "inner", "jump": "middle"},
        "outer": {"address": "outer", "user": "ops", "port": 2200},
        "middle": {"address": "middle", "user": "mid", "jump": "outer"},
        "old": {"address": "old", "jump": "gate"},
        "gate": {"address": "gate"},
        "direct": {"address": "direct", "jump": ""},
        "odd": {"address": "odd"},
    }
    refused = {name: host.refused for name, host in found.hosts.items() if host.refused}
    assert list(refused) == ["odd"]
    assert "no command is run" in refused["odd"]
    assert "line 12" in refused["odd"]


def test_one_host_has_one_way(tmp_path: Path) -> None:
    """Where ssh would take two ways to the same host, whoever needs the other one is refused."""
    found = config(
        tmp_path,
        "Host a\n ProxyJump gate\nHost gate\n ProxyJump outer\nHost b\n ProxyJump root@gate\n",
    )
    assert found.hosts["a"].refused == ""
    assert "in another way" in found.hosts["b"].refused


def test_included_files_count_where_they_are_included(tmp_path: Path) -> None:
    """Under the conditions of the block that includes them, which goes on behind them; in the order of their names."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "2.conf").write_text("Port 2\nHost sub\n  User of-sub\n")
    (tmp_path / "d" / "1.conf").write_text("Port 1\n")
    found = config(
        tmp_path, "Host web-1 sub\n  Include d/*.conf nowhere\n  User deploy\nHost late\n  Port 9\n"
    )
    assert found.mistakes == []
    assert fields(found) == {
        "web-1": {"address": "web-1", "port": 1, "user": "deploy"},
        "sub": {"address": "sub", "port": 1, "user": "of-sub"},
        "late": {"address": "late", "port": 9},
    }


def test_includes_have_an_end(tmp_path: Path) -> None:
    """A file that includes itself is a mistake, with the line that does it."""
    found = config(tmp_path, "Host a\n\nInclude config\n")
    assert found.mistakes
    assert str(found.mistakes[0]).endswith("line 3: files include each other 16 deep")


def test_nothing_of_a_file_is_run(tmp_path: Path) -> None:
    """A `Match exec` would run a command for ssh; here its block is left out, and told of."""
    mark = tmp_path / "mark"
    found = config(
        tmp_path,
        f"Host a\n HostName b\nMatch exec 'touch {mark}'\n User x\nMatch originalhost a host b\n User y\n"
        "Match all\n Port 5\n",
    )
    assert not mark.exists()
    assert fields(found) == {"a": {"address": "b", "user": "y", "port": 5}}
    assert len(found.notes) == 1
    assert "line 3: `Match exec` is not looked at" in found.notes[0]


def test_a_wrong_line_is_told_by_its_number(tmp_path: Path) -> None:
    """Every one of them; a port that is none refuses the hosts that it is for."""
    found = config(tmp_path, "Host\nHost 'a\n???\nHost b\n Port x\nUser\n")
    assert [each.line for each in found.mistakes] == [1, 2, 3, 6]
    assert "line 5: Port is no port" in found.hosts["b"].refused


@given(
    st.text(alphabet="Hostmachudexlp Iner-JPxy*?!#='\"\\%@:,\n\t~/[]{}1\u00e4\x00", max_size=200)
)
def test_any_text_is_read_or_told(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """No file of settings brings the reader down, and each mistake has a line that the file has."""
    folder = tmp_path_factory.getbasetemp()
    path = folder / "any"
    findings = Findings()
    read_lines(path, lambda _: text, findings)
    lines = text.count("\n") + 1
    assert all(1 <= each.line <= lines for each in findings.mistakes)
    findings = read_ssh_config(path, lambda _: text, ["host"])
    assert all(isinstance(host.fields["address"], str) for host in findings.hosts.values())


@pytest.mark.parametrize(
    ("text", "hops"),
    [
        ("gate", [Hop("gate")]),
        ("ops@gate:2200, b", [Hop("gate", "ops", 2200), Hop("b")]),
        ("ssh://ops@gate:22/", [Hop("gate", "ops", 22)]),
        ("[2001:db8::1]:22", [Hop("2001:db8::1", "", 22)]),
        ("None", []),
    ],
)
def test_ways_are_lists_of_hosts(text: str, hops: list[Hop]) -> None:
    """In each form that ssh takes."""
    assert hops_of(text) == hops
    assert hops_of_options(f"-o StrictHostKeyChecking=yes -J '{text}'") == hops
    assert hops_of_options(f"-o ProxyJump='{text}'") == hops


@pytest.mark.parametrize("text", ["", "a b", "a:0", "a:99999", "@a", "a,,b", ",".join("a" * 9)])
def test_what_is_no_way_is_told(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match=r"it is no list|it leads through more"):
        hops_of(text)


@pytest.mark.parametrize(
    "command", ["nc %h %p", "ssh gate", "ssh -W %h:22 gate", "ssh -W %h:%p -A g", "'"]
)
def test_other_commands_are_no_ways(command: str) -> None:
    """Only the one that means what ProxyJump does."""
    with pytest.raises(ValueError, match=r"no command is run|cannot be read"):
        hops_of_command(command)


def test_options_without_a_way_tell_of_none() -> None:
    """So that what is known of a host's jump stays."""
    assert hops_of_options("-o ControlMaster=auto -C") is None


@given(
    st.lists(st.sampled_from(["*", "?", "a", "b", "."]), max_size=12),
    st.text(alphabet="ab.", max_size=12),
)
def test_patterns_match_as_they_say(parts: list[str], name: str) -> None:
    """A star takes any characters, a question mark one; compared with trying everything."""
    taken = pattern("".join(parts)).fullmatch(name) is not None
    assert taken == _taken("".join(parts), name)


def _taken(parts: str, name: str) -> bool:
    if not parts:
        return not name
    if parts[0] == "*":
        return any(_taken(parts[1:], name[at:]) for at in range(len(name) + 1))
    return bool(name) and parts[0] in ("?", name[0]) and _taken(parts[1:], name[1:])


# --- known_hosts --------------------------------------------------------------------------------


def test_keys_are_found_by_name_and_port() -> None:
    """In the clear, hashed, by pattern, of an authority; another port is another host; what is revoked is no key."""
    known, findings = keys(
        f"""
        # ours
        web-1,10.0.0.7 {KEY} comment
        [web-1]:2222 {OTHER}
        {hashed("db-1")} {KEY}
        {hashed("[db-1]:2222")} {OTHER}
        @cert-authority *.example.org,!bad.example.org {KEY}
        twice {KEY}
        @revoked * {OTHER}
        """
    )
    assert findings.mistakes == []
    assert known.of("WEB-1", 22) == known.of("10.0.0.7", 22) == known.of("db-1", 22) == [KEY]
    assert known.of("web-1", 2222) == known.of("db-1", 2222) == []
    assert known.of("a.example.org", 22) == [f"@cert-authority {KEY}"]
    assert known.of("bad.example.org", 22) == []
    assert [(host.name, host.fields) for host in known.hosts()] == [
        ("web-1", {"address": "web-1"}),
        ("web-1", {"address": "web-1", "port": 2222}),
        ("twice", {"address": "twice"}),
    ]


def test_wrong_keys_are_told_by_their_line() -> None:
    """A key that is cut off, a hash that is none, a mark that is not known; a kind that is not taken is noted."""
    _, findings = keys(
        f"a {KEY[:-9]}\nb\n|1|x|y {KEY}\n|2|YQ==|YQ== {KEY}\n@good c {KEY}\nd ssh-dss AAAA\n"
    )
    assert [each.line for each in findings.mistakes] == [1, 2, 3, 4, 5]
    assert findings.notes == [
        "known, line 6: a key of the kind ssh-dss is not taken: it is left out"
    ]


@given(st.text(alphabet="ab|1@*?!,[]: =\n#revokdsh-25", max_size=120))
def test_any_known_hosts_is_read_or_told(text: str) -> None:
    """No text brings the reader down, or becomes a key."""
    known, findings = keys(text)
    assert known.of("a", 22) == []
    assert all(1 <= each.line <= text.count("\n") + 1 for each in findings.mistakes)


@given(st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True), st.binary(min_size=1, max_size=20))
def test_a_hashed_name_is_found_by_it_alone(name: str, salt: bytes) -> None:
    """Whatever the salt; it names no host of its own."""
    known, _ = keys(f"{hashed(name, salt)} {KEY}\n")
    assert known.of(name, 22) == [KEY]
    assert known.of(f"{name}x", 22) == []
    assert list(known.hosts()) == []
