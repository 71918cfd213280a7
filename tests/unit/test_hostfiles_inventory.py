"""Inventories of Ansible and tables read for an import."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core.hostfiles import Findings
from dts_core.hostfiles.inventory import Inventory, names_of
from dts_core.hostfiles.inventory_ini import read_ini
from dts_core.hostfiles.inventory_yaml import read_yaml
from dts_core.hostfiles.table import read_table
from dts_core.ssh.keys import AsyncsshKeys

SECRET = "Canary-of-an-inventory-58d1"
INI = f"""
mail ansible_host=10.0.0.1 ansible_port=2222 ansible_user='root'  # by hand
[web]
web[01:03:2].example.org:2200 ansible_ssh_private_key_file=~/.ssh/web ansible_password={SECRET}
[web:vars]
ansible_user = deploy
ntp_server = 10.9.9.9
[db]
db-a
db-b ansible_user="{{{{ lookup('env', 'X') }}}}"
here ansible_connection=local
[site:children]
web
db
[site:vars]
ansible_user=nobody
ansible_ssh_common_args='-o ProxyJump=gate'
ansible_become_pass={SECRET}
[all:vars]
ansible_python_interpreter=/usr/bin/python3
"""
YAML = f"""
all:
  vars: {{ansible_python_interpreter: /usr/bin/python3}}
  hosts:
    mail: {{ansible_host: 10.0.0.1, ansible_port: 2222, ansible_user: root}}
  children:
    site:
      vars:
        ansible_user: nobody
        ansible_ssh_common_args: '-o ProxyJump=gate'
        ansible_become_pass: {SECRET}
      children:
        web:
          hosts:
            web[01:03:2].example.org:2200:
              ansible_ssh_private_key_file: ~/.ssh/web
              ansible_password: !vault |
                {SECRET}
          vars:
            ansible_user: deploy
            ntp_server: [10.9.9.9]
        db:
          hosts:
            db-a:
            db-b: {{ansible_user: "{{{{ lookup('env', 'X') }}}}"}}
            here: {{ansible_connection: local}}
"""


def told(text: str, *, yaml: bool = False) -> Findings:
    findings = Findings()
    read: Any = read_yaml if yaml else read_ini
    inventory: Inventory = read("hosts", text, findings)
    inventory.tell(findings)
    return findings


@pytest.mark.parametrize("is_yaml", [False, True], ids=["ini", "yaml"])
def test_hosts_have_what_their_groups_say(is_yaml: bool) -> None:
    """The group that is deeper wins, the host's own wins most; ranges and ports; the same in both forms."""
    found = told(YAML if is_yaml else INI, yaml=is_yaml)
    assert found.mistakes == []
    python = {"python": "/usr/bin/python3"}
    web = {"port": 2200, "user": "deploy", "jump": "gate", **python}
    assert {name: host.fields for name, host in found.hosts.items() if not host.refused} == {
        "mail": {"address": "10.0.0.1", "port": 2222, "user": "root", **python},
        "web01.example.org": {"address": "web01.example.org", **web},
        "web03.example.org": {"address": "web03.example.org", **web},
        "db-a": {"address": "db-a", "user": "nobody", "jump": "gate", **python},
    }
    assert found.hosts["mail"].groups == ()
    assert found.hosts["web01.example.org"].groups == ("site", "web")
    assert "a template" in found.hosts["db-b"].refused
    assert "local" in found.hosts["here"].refused
    notes = "\n".join(found.hosts["web01.example.org"].notes)
    assert "~/.ssh/web is not read" in notes
    assert "ansible_password (line" in notes
    assert "ansible_become_pass (line" in notes
    assert SECRET not in repr(found.hosts)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[web\n", 1),
        ("[]\n", 1),
        ("[web]\na b\n", 2),
        ("[web]\n\na 'x=1\n", 3),
        ("[web:other]\n", 1),
        ("[web:vars]\nnothing\n", 2),
        ("[a:children]\nb c\n", 2),
        ("w[3:1]\n", 1),
        ("w[1:99999999]\n", 1),
        ("w[1:999999999]\n", 1),
        ("w[1:999999999:9999]\n", 1),
        ("w[1:9999][1:9999]\n", 1),
        ("w[a:9]\n", 1),
        ("w:99999\n", 1),
        ("[a:children]\nb\n[b:children]\na\n", 2),
    ],
)
def test_a_wrong_line_of_an_ini_is_told(text: str, line: int) -> None:
    """With its number, and none of a file that is right."""
    assert [each.line for each in told(text).mistakes] == [line]


def test_short_lines_that_stand_for_many_have_an_end() -> None:
    """Ranges without end in one name, and lines of which each is right: told at the line where it is too much."""
    nested = told(f"w{'[1:1]' * 20_000}\n")
    assert [(each.line, "16 ranges" in each.why) for each in nested.mistakes] == [(1, True)]
    repeated = told("ok\n" + "w[1:10000]\n" * 100_000)
    assert [(each.line, "500000 hosts" in each.why) for each in repeated.mistakes] == [(51, True)]
    groups = told("".join(f"[g{number}]\nw[1:10000]\n" for number in range(50_000)))
    assert [each.line for each in groups.mistakes] == [102]
    hosts = "".join(f"    w{number}-[1:10000]:\n" for number in range(100))
    assert [each.line for each in told(f"all:\n  hosts:\n{hosts}", yaml=True).mistakes] == [53]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- a\n", 1),
        ("all:\n  hosts: [a]\n", 2),
        ("all:\n  host:\n    a:\n", 2),
        ("all:\n  hosts:\n    a: {ansible_port: [1]}\n", 3),
        ("all: {\n", 2),
        ("all:\n  hosts:\n    w[3:1]:\n", 3),
        ("all:\n\thosts:\n", 2),
        ("{" * 3000, 1),
        ("a: {children: {b: }}\nb: {children: {a: }}\n", 1),
    ],
)
def test_a_wrong_line_of_yaml_is_told(text: str, line: int) -> None:
    """A tree of another shape, no YAML at all, and one that is nested without end."""
    assert [each.line for each in told(text, yaml=True).mistakes] == [line]


def test_aliases_of_aliases_have_an_end() -> None:
    """A short file that stands for billions of hosts is a mistake, and soon."""
    lines = ["g0: &g0 {children: {a: {hosts: {x: }}}}"]
    for number in range(1, 40):
        below = ", ".join(f"c{each}: *g{number - 1}" for each in range(9))
        lines.append(f"g{number}: &g{number} {{children: {{{below}}}}}")
    assert "aliases" in told("\n".join(lines), yaml=True).mistakes[0].why


def test_no_object_is_made_of_yaml() -> None:
    """A tag that would run code for a careless reader is a value like any other."""
    text = "all: {hosts: {a: {ansible_host: !!python/object/apply:os.system [id]}}}"
    assert "one value is expected" in told(text, yaml=True).mistakes[0].why


@given(st.text(alphabet="[]:=ab1 \n#;'\"{}-,&*!\t|>%@\u00e4", max_size=150), st.booleans())
def test_any_text_is_told_or_taken(text: str, is_yaml: bool) -> None:
    """No inventory brings the reader down, and each mistake has a line that the file has."""
    found = told(text, yaml=is_yaml)
    lines = text.count("\n") + 2  # YAML tells an end that comes too early behind the last line
    assert all(1 <= each.line <= lines for each in found.mistakes)


@given(st.integers(0, 200), st.integers(0, 50), st.integers(1, 7))
def test_ranges_count_as_ansible_does(first: int, more: int, step: int) -> None:
    """Both ends are in it, zeros stay before numbers."""
    names, port = names_of(f"n[{first:03d}:{first + more:03d}:{step}].x")
    assert names == [f"n{number:03d}.x" for number in range(first, first + more + 1, step)]
    assert port is None


def test_letters_make_ranges_and_addresses_stay() -> None:
    """Several ranges multiply; an IPv6 address in brackets is no range."""
    assert names_of("r[a:c]-[1:2]:22") == (["ra-1", "ra-2", "rb-1", "rb-2", "rc-1", "rc-2"], 22)
    assert names_of("[2001:db8::1]") == (["2001:db8::1"], None)


# --- tables -------------------------------------------------------------------------------------


def table(text: str) -> Findings:
    findings = Findings()
    read_table("hosts.csv", text, findings, AsyncsshKeys().host_keys)
    return findings


def test_a_row_is_a_host() -> None:
    """With what its cells tell; a column of secrets is left out, with a word."""
    found = table(
        "Name;address;port;user;labels;password;description\n"
        'web-1;10.0.0.7;2222;deploy;"role=web rack=7";' + SECRET + ';"the\nfirst"\n'
        "\nweb-2;;;;;;\n"
    )
    assert found.mistakes == []
    assert {name: host.fields for name, host in found.hosts.items()} == {
        "web-1": {
            "address": "10.0.0.7", "port": 2222, "user": "deploy",
            "labels": {"role": "web", "rack": "7"}, "description": "the\nfirst",
        },
        "web-2": {"address": "web-2"},
    }  # fmt: skip
    assert found.notes == [
        "hosts.csv: the column password is not taken: give secrets with --key-file or --ask-password"
    ]
    assert SECRET not in repr(found.hosts) + repr(found.notes)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("address,port\n", 1, "name is missing"),
        ("name,adress\n", 1, "did you mean address?"),
        ("name,name\n", 1, "twice"),
        ("name,port\na,b\n", 2, "its port"),
        ("name,port\na,1,2\n", 2, "3 cells"),
        ("name,port\n,22\n", 2, "no name"),
        ("name,known_host_key\na,b\n", 2, "its known_host_key"),
        ('name,port\n"a"b,22\n', 2, "no CSV"),
        ("", 1, "name is missing"),
    ],
)
def test_a_wrong_row_is_told(text: str, line: int, why: str) -> None:
    """With its number and what is wrong."""
    [mistake] = table(text).mistakes
    assert mistake.line == line
    assert why in mistake.why


@given(st.text(alphabet='name,port;\t"\n\r1a b\x00', max_size=80))
def test_any_table_is_read_or_told(text: str) -> None:
    """No text brings the reader down."""
    found = table(f"name,port\n{text}")
    assert all(each.line >= 1 for each in found.mistakes)


def test_two_hosts_of_one_name_are_refused() -> None:
    """Nobody can tell which one is meant; the same told twice is the same."""
    found = table("name,port\na,1\na,2\nb,1\nb,1\n")
    assert "in two ways" in found.hosts["a"].refused
    assert "line 2" in found.hosts["a"].refused
    assert found.hosts["b"].refused == ""
