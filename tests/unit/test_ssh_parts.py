"""The pieces of the SSH layer that need no server."""

import asyncio
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core.errors import (
    HostKeyChanged,
    HostKeyRejected,
    HostKeyUnknown,
    InvalidInput,
    LoginDenied,
)
from dts_core.ssh.algorithms import weakness
from dts_core.ssh.base import fingerprint
from dts_core.ssh.gate import Gate
from dts_core.ssh.hostkeys import Pins, judge_authority, judge_key, offers
from dts_core.ssh.keycache import KeyCache
from dts_core.ssh.output import KeptOutput
from dts_core.ssh.quoting import command_line
from dts_core.ssh.target import Credentials, Target
from dts_core.testing import wait_until
from dts_core.vault import Secret
from tests.support.sshkeys import PASSPHRASE, certificate_of, private_key, public_line

KEY, OTHER, RSA = (
    public_line(private_key(kind=kind)) for kind in ("ssh-ed25519", "ssh-ed25519", "ssh-rsa")
)


@given(st.lists(st.text(st.characters(exclude_characters="\0")), min_size=1))
def test_a_shell_takes_a_line_apart_into_its_words(argv: list[str]) -> None:
    """Any words at all; only an empty command is refused."""
    if argv[0]:
        assert shlex.split(command_line(argv)) == argv
    else:
        with pytest.raises(InvalidInput):
            command_line(argv)


def test_a_nul_is_refused() -> None:
    """No argument can hold one."""
    with pytest.raises(InvalidInput, match="NUL"):
        command_line(["echo", "a\0b"])


@given(st.lists(st.binary(max_size=60), max_size=40), st.integers(2, 100))
def test_kept_output_is_begin_and_end(pieces: list[bytes], most: int) -> None:
    """However it is cut into pieces; what is missing is counted to the byte."""
    output = KeptOutput(most)
    for piece in pieces:
        output.take(piece)
    whole = b"".join(pieces)
    assert output.total == len(whole)
    if len(whole) <= most:
        assert (output.kept(), output.dropped) == (whole, 0)
        return
    head, tail = whole[: most // 2], whole[len(whole) - (most - most // 2) :]
    note = f"\n... {len(whole) - most} bytes left out ...\n".encode()
    assert output.kept() == head + note + tail
    assert output.dropped == len(whole) - most


@pytest.mark.parametrize(
    ("pins", "error"),
    [
        (Pins(keys=(KEY,)), None),
        (Pins(keys=(OTHER, KEY)), None),
        (Pins(fingerprints=(fingerprint(KEY),)), None),
        (Pins(), HostKeyUnknown),
        (Pins(keys=(OTHER,)), HostKeyChanged),
        (Pins(keys=(RSA,)), HostKeyChanged),
        (Pins(authorities=(KEY,)), HostKeyChanged),
        (Pins(fingerprints=(fingerprint(OTHER),)), HostKeyChanged),
        (Pins(keys=(KEY,), revoked=(KEY,)), HostKeyRejected),
    ],
)
def test_a_key_is_judged(pins: Pins, error: type[HostKeyRejected] | None) -> None:
    """Pinned: in. Nothing pinned: unknown. Anything else pinned: changed, whatever its kind. Revoked: never."""
    found = judge_key(pins, "h", KEY)
    assert type(found) is (error or type(None))
    if found is not None:
        assert (found.shown, found.fingerprint, found.host) == (KEY, fingerprint(KEY), "h")


def test_an_authority_is_judged() -> None:
    """Only one that is pinned as such counts: a host's own key vouches for nobody."""
    assert judge_authority(Pins(authorities=(KEY,)), "h", KEY) is None
    assert type(judge_authority(Pins(keys=(KEY,)), "h", KEY)) is HostKeyChanged
    revoked = judge_authority(Pins(authorities=(KEY,), revoked=(KEY,)), "h", KEY)
    assert type(revoked) is HostKeyRejected


def test_pins_come_from_stored_lines() -> None:
    """As a virtual host keeps them."""
    pins = Pins.of_lines(f"{KEY}\n@cert-authority {OTHER}\n\n", "SHA256:x")
    assert pins == Pins((KEY,), (OTHER,), ("SHA256:x",))
    assert not Pins.of_lines("")


def test_pinned_kinds_are_asked_for() -> None:
    """And no others, so that a host's further keys are no alarm; certificates only where an authority is pinned."""
    assert offers(Pins(keys=(KEY,))) == ("ssh-ed25519",)
    assert offers(Pins(keys=(RSA,))) == ("rsa-sha2-512", "rsa-sha2-256")
    assert all("cert" in form for form in offers(Pins(authorities=(KEY,))))
    assert offers(Pins())[0] == "ssh-ed25519"
    assert not any("sha1" in form or form in ("ssh-rsa", "ssh-dss") for form in offers(Pins()))


def test_what_asyncssh_no_longer_tells_is_refused() -> None:
    """Where the names change that the strict exchange is read from, nothing passes by mistake."""
    assert "CVE-2023-48795" in weakness(object())


def test_targets_tell_their_way() -> None:
    """Another version or way is another connection; all hosts behind a jump host share its door."""
    jump = Target(id="j", address="10.0.0.1", user="u")
    one = Target(id="a", address="a", user="u", jump=jump)
    assert one.key == ("a", "", "j", "")
    assert one.door == jump.door == "10.0.0.1:22"
    assert "private_key=None" in repr(one)


def test_secrets_are_not_in_a_targets_words() -> None:
    """Whoever logs one tells nothing."""
    ours = Credentials(private_key=Secret("pem-Canary"), password=Secret("word-Canary"))
    assert "Canary" not in repr(Target(id="a", address="a", user="u", credentials=ours))


async def test_a_gate_holds_back_at_each_door() -> None:
    """So many at one door, so many over all; doors that nobody stands at are forgotten."""
    gate = Gate(3, 2)
    inside: dict[str, int] = {"a": 0, "b": 0}
    most: list[tuple[int, int]] = []
    leave = asyncio.Event()

    async def pass_through(door: str) -> None:
        async with gate.passing(door):
            inside[door] += 1
            most.append((inside[door], sum(inside.values())))
            await leave.wait()
            inside[door] -= 1

    tasks = [asyncio.create_task(pass_through(door)) for door in "aaaaabbbbb"]
    await wait_until(lambda: sum(inside.values()) == 3)
    leave.set()
    await asyncio.gather(*tasks)
    assert len(most) == 10
    assert max(door for door, _ in most) == 2
    assert max(over_all for _, over_all in most) == 3
    assert gate._doors == {}


async def test_a_key_is_opened_once() -> None:
    """However many ask for it at the same time; a wrong passphrase is not remembered as the right one."""
    cache = KeyCache()
    pem = private_key(PASSPHRASE)
    ours = Credentials(private_key=Secret(pem), passphrase=Secret(PASSPHRASE))
    keys = await asyncio.gather(*(cache.key(ours, "h") for _ in range(20)))
    assert len({id(key) for key in keys}) == 1
    for wrong in (
        Credentials(private_key=Secret(pem), passphrase=Secret("no")),
        Credentials(private_key=Secret(pem)),
        Credentials(private_key=Secret("no key")),
        Credentials(private_key=Secret(private_key()), certificate="no certificate"),
    ):
        with pytest.raises(LoginDenied, match="cannot be opened") as told:
            await cache.key(wrong, "h")
        assert told.value.__cause__ is None
    assert await cache.key(Credentials(), "h") is None
    plain = private_key()
    certified = Credentials(private_key=Secret(plain), certificate=certificate_of(plain))
    assert isinstance(await cache.key(certified, "h"), tuple)
