"""Signatures of versions: what they cover, whose count, and the files of keys."""

import base64
import copy
import hashlib
import logging
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core.errors import ConfigError, Forbidden, InvalidInput
from dts_core.model import Signature
from dts_core.signing import PublicKey, Signer, Trust, Unsigned
from dts_core.signing.files import load_signer, make_key, parse_keys, read_keys, write_keys
from dts_core.signing.keys import new_pem
from dts_core.signing.statement import CONTEXT, statement

PEM = new_pem()
SIGNER = Signer(PEM)
OTHER = Signer(new_pem())
TRUST = Trust([SIGNER.public])
DIGEST = hashlib.sha256(b"def main(): pass").hexdigest()
KNOWN = (
    "47223286047b1c6b16bbd4396b1efbca659e82bc753b1cdc99bcc9fe8e29841c"
    "1167d043acd2d1aed33e99e7aae9c77c10e31e9993993656db44f0f137830008"
)
names = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True).filter(lambda name: name != "dts")
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
functions = st.builds("{}/{}".format, names, names)


@given(functions, digests)
def test_what_is_signed_is_let_pass(function: str, digest: str) -> None:
    """The signature of a trusted key lets just that version of just that function pass."""
    TRUST.check(function, digest, SIGNER.sign(function, digest))


@given(functions, functions, digests, digests)
def test_every_other_function_or_version_is_refused(
    function: str, other: str, digest: str, changed: str
) -> None:
    """Another namespace, name or content makes the signature worth nothing."""
    signature = SIGNER.sign(function, digest)
    if (other, changed) != (function, digest):
        with pytest.raises(Unsigned, match="not for it"):
            TRUST.check(other, changed, signature)


@given(functions, digests, st.integers(0, 511))
def test_every_changed_bit_of_a_signature_is_refused(function: str, digest: str, bit: int) -> None:
    """No part of it is idle."""
    signature = SIGNER.sign(function, digest)
    value = bytearray(signature.value)
    value[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Unsigned):
        TRUST.check(function, digest, msgspec.structs.replace(signature, value=bytes(value)))


@given(st.binary(max_size=200))
def test_no_bytes_pass_for_a_signature(value: bytes) -> None:
    """Whatever its length."""
    with pytest.raises(Unsigned):
        TRUST.check("a/b", DIGEST, Signature(key=SIGNER.public.id, value=value))


@given(functions, digests, functions, digests, names, names)
def test_no_two_statements_are_the_same_bytes(
    one: str, digest: str, other: str, changed: str, key: str, another: str
) -> None:
    """No field can lend a byte to its neighbour: the encoding is read in one way only."""
    left, right = (one, digest, key), (other, changed, another)
    assert (statement(*left) == statement(*right)) is (left == right)


def test_the_statement_stays_what_it_is() -> None:
    """Versions that are stored were signed over exactly these bytes: to change them takes another context."""
    said = statement("ns/name", "ab", "k1")
    assert said == (
        b"dts function version, signature 1\0\0\0\0\x02ns\0\0\0\x04name\0\0\0\x02ab\0\0\0\x02k1"
    )
    assert said.startswith(CONTEXT)


def test_a_key_that_all_know_signs_as_ever() -> None:
    """The first key of RFC 8032, in the form that openssl writes: its public half, its id, its signature."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    der = base64.b64encode(bytes.fromhex("302e020100300506032b657004220420") + seed).decode()
    signer = Signer(f"-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n".encode())
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    assert str(signer.public) == "ed25519:" + base64.b64encode(public).decode()
    assert signer.public == PublicKey(public)
    assert signer.public.id == "21fe31dfa154a261"
    assert signer.sign("sample/noop", "ab" * 32).value.hex() == KNOWN


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        (None, "is not signed"),
        (OTHER.sign("a/b", DIGEST), "not trusted here"),
        (Signature(key=SIGNER.public.id, value=OTHER.sign("a/b", DIGEST).value), "not for it"),
        (SIGNER.sign("a/c", DIGEST), "not for it"),
        (SIGNER.sign("b/b", DIGEST), "not for it"),
        (Signature(key="\x1b[2J" + "x" * 5000, value=b""), r"\\x1b"),
    ],
    ids=["none", "unknown key", "key renamed", "name", "namespace", "hostile"],
)
def test_a_refusal_says_why(signature: Signature | None, words: str) -> None:
    """In one line, with what to do."""
    with pytest.raises(Unsigned, match=words) as raised:
        TRUST.check("a/b", DIGEST, signature)
    assert raised.value.advice
    assert len(str(raised.value)) < 400


def test_several_keys_may_be_trusted() -> None:
    """While keys rotate both count; who is left out counts no more."""
    both = Trust([SIGNER.public, OTHER.public])
    for signer in (SIGNER, OTHER):
        both.check("a/b", DIGEST, signer.sign("a/b", DIGEST))
    assert both.ids == sorted([SIGNER.public.id, OTHER.public.id])
    with pytest.raises(Unsigned):
        TRUST.check("a/b", DIGEST, OTHER.sign("a/b", DIGEST))


def test_the_control_sides_own_functions_are_never_signed() -> None:
    """Nothing of namespace dts/ that comes by a broker can have a signature."""
    with pytest.raises(Forbidden):
        SIGNER.sign("dts/deploy", DIGEST)
    for function in ("dts", "a/b/c", "../x", "A/b"):
        with pytest.raises(InvalidInput):
            SIGNER.sign(function, DIGEST)


def test_a_signer_never_shows_itself() -> None:
    """Not printed, not copied, not encoded."""
    secret = PEM.decode().splitlines()[1]
    assert repr(SIGNER) == f"Signer({SIGNER.public.id})"
    assert secret not in f"{SIGNER} {SIGNER!r} {vars(SIGNER)} {SIGNER.public!r}"
    for give_away in (copy.copy, copy.deepcopy, msgspec.json.encode):
        with pytest.raises(TypeError):
            give_away(SIGNER)


@given(st.binary(max_size=100))
def test_what_is_no_key_is_refused(content: bytes) -> None:
    """A wrong file's content is in no message."""
    for text in (content, b"-----BEGIN PRIVATE KEY-----\n" + content):
        with pytest.raises(InvalidInput) as raised:
            Signer(text)
        assert raised.value.message == "is no Ed25519 key in PEM without a password."
        assert raised.value.__cause__ is raised.value.__context__ is None


@given(st.text(max_size=80))
def test_what_is_no_public_key_is_refused(text: str) -> None:
    """With the line that was given, cut short."""
    with pytest.raises(InvalidInput, match="no public key"):
        PublicKey.parse(text)


def test_the_private_half_given_for_the_public_one_is_not_repeated() -> None:
    """Who pastes the wrong file finds nothing of it in the message."""
    with pytest.raises(InvalidInput) as raised:
        PublicKey.parse(PEM.decode())
    assert "PRIVATE" not in str(raised.value)
    assert PEM.decode().splitlines()[1][:8] not in str(raised.value)


def test_a_key_file_is_made_private_and_found_again(tmp_path: Path) -> None:
    """Mode 0600; what is there is never overwritten."""
    path = tmp_path / "k.key"
    made = make_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_signer(path).public == made.public
    content = path.read_bytes()
    with pytest.raises(ConfigError, match="there already"):
        make_key(path)
    assert path.read_bytes() == content
    with pytest.raises(ConfigError, match="cannot be written"):
        make_key(tmp_path / "none" / "k.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The file, its mode and what to do are named; nothing of its content."""
    path = tmp_path / "k.key"
    make_key(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"others may read it: its mode is {mode:o}") as raised:
        load_signer(path)
    assert str(path) in str(raised.value)
    assert f"chmod 600 {path}" in raised.value.advice
    assert path.read_text().splitlines()[1] not in str(raised.value)


def test_a_key_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """Missing, a folder, or something else in it."""
    with pytest.raises(ConfigError, match="no such file") as raised:
        load_signer(tmp_path / "none.key")
    assert "dts admin signing new-key" in raised.value.advice
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    with pytest.raises(ConfigError, match="no plain file"):
        load_signer(folder)
    path = tmp_path / "k.key"
    path.write_bytes(b"canary of a file")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="no Ed25519 key") as raised:
        load_signer(path)
    assert "canary" not in str(raised.value)


def test_another_users_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever could have read it before."""
    path = tmp_path / "k.key"
    make_key(path)
    monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(ConfigError, match="belongs to user"):
        load_signer(path)


def test_public_keys_are_read_from_a_file(tmp_path: Path) -> None:
    """One a line, with remarks; what the server writes beside its socket is read."""
    path = tmp_path / "signing.pub"
    path.write_text(f"# ours\n\n{SIGNER.public}  # {SIGNER.public.id}\n  {OTHER.public}\n")
    path.chmod(0o644)
    assert read_keys(path) == [SIGNER.public, OTHER.public]
    write_keys(path, [OTHER.public])
    assert read_keys(path) == [OTHER.public]
    assert parse_keys([]) == []


def test_a_file_of_public_keys_that_cannot_be_trusted_is_refused(tmp_path: Path) -> None:
    """Missing, with a line that is none, or open to changes by others."""
    path = tmp_path / "signing.pub"
    with pytest.raises(ConfigError, match="cannot be read"):
        read_keys(path)
    path.write_text("ssh-ed25519 AAAA me@host\n")
    with pytest.raises(ConfigError, match=r"signing\.pub: signing\.public_keys_file: .*no public"):
        read_keys(path)
    path.write_text(f"{SIGNER.public}\n")
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="others may write it"):
        read_keys(path)


def test_nothing_of_a_key_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Making, loading and using one leaves no trace of it."""
    with caplog.at_level(logging.DEBUG):
        made = make_key(tmp_path / "k.key")
        load_signer(tmp_path / "k.key").sign("a/b", DIGEST)
    lines = (tmp_path / "k.key").read_text().splitlines()
    assert lines[1] not in caplog.text
    assert str(made.public) != lines[1]
