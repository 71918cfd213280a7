"""Reading SSH keys: what OpenSSH writes is taken, anything else is refused without a byte of it."""

import base64
import struct

import asyncssh
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dts_core.errors import InvalidInput
from dts_core.ssh.base import fingerprint, type_of
from dts_core.ssh.keys import AsyncsshKeys
from dts_core.vault import Secret
from tests.support.sshkeys import (
    PASSPHRASE,
    certificate_of,
    fingerprint_of,
    private_key,
    public_line,
)

KEYS = AsyncsshKeys()
BEGIN, END = "-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----"


def refused(pem: str, passphrase: str = "") -> InvalidInput:
    with pytest.raises(InvalidInput) as told:
        KEYS.private_key(Secret(pem), Secret(passphrase) if passphrase else None)
    assert told.value.__cause__ is None
    return told.value


def openssh(cipher: bytes, rounds: int, public: bytes) -> str:
    """The form of an encrypted OpenSSH key, around nothing."""

    def string(data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + data

    options = string(b"saltsaltsaltsalt") + struct.pack(">I", rounds)
    blob = b"openssh-key-v1\0" + string(cipher) + string(b"bcrypt") + string(options)
    blob += struct.pack(">I", 1) + string(public) + string(b"\0" * 64)
    return f"{BEGIN}\n{base64.b64encode(blob).decode()}\n{END}\n"


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
def test_a_private_key_tells_its_public_part(kind: str) -> None:
    """Kind and fingerprint are those that OpenSSH shows."""
    pem = private_key(kind=kind)
    facts = KEYS.private_key(Secret(pem), None)
    assert (facts.public_key, facts.is_encrypted) == (public_line(pem), False)
    assert (type_of(facts.public_key), fingerprint(facts.public_key)) == (kind, fingerprint_of(pem))


def test_an_encrypted_key_is_opened_with_its_passphrase() -> None:
    """So that a wrong passphrase shows when it is stored, not when it is used."""
    pem = private_key(PASSPHRASE)
    facts = KEYS.private_key(Secret(pem), Secret(PASSPHRASE))
    assert facts.is_encrypted
    assert facts.public_key == public_line(pem, PASSPHRASE)
    wrong = refused(pem, "another")
    assert wrong.fields == {"key_passphrase": "it does not open the key"}


def test_a_key_that_openssh_has_encrypted_is_opened_too() -> None:
    """In OpenSSH's own form, as `ssh-keygen` writes it."""
    open_pem = private_key()
    key = asyncssh.import_private_key(open_pem)
    pem = key.export_private_key("openssh", PASSPHRASE).decode()
    facts = KEYS.private_key(Secret(pem), Secret(PASSPHRASE))
    assert (facts.public_key, facts.is_encrypted) == (public_line(open_pem), True)
    assert refused(pem, "another").fields == {"key_passphrase": "it does not open the key"}


def test_an_encrypted_key_without_passphrase_tells_what_it_can() -> None:
    """OpenSSH's own form has the public part in clear, PKCS#8 has not."""
    assert KEYS.private_key(Secret(private_key(PASSPHRASE)), None).public_key == ""
    line = public_line(private_key())
    pem = openssh(b"aes256-ctr", 16, base64.b64decode(line.split()[1]))
    facts = KEYS.private_key(Secret(pem), None)
    assert (facts.public_key, facts.is_encrypted) == (line, True)


def test_a_passphrase_for_an_open_key_is_refused() -> None:
    """It would give a false feeling, and be asked for by nobody."""
    assert "key_passphrase" in refused(private_key(), "needless").fields


def test_rounds_that_would_take_for_ever_are_refused() -> None:
    """The number of bcrypt's rounds comes from the file, and would hold a thread for hours."""
    blob = base64.b64decode(public_line(private_key()).split()[1])
    told = refused(openssh(b"aes256-ctr", 1 << 31, blob), "x" * 8)
    assert "rounds" in told.fields["ssh_pem_cert"]


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "hunter2-canary",
        f"{BEGIN}\ncanary\n{END}",
        f"{BEGIN}\nb3BlbnNzaC1rZXktdjEAAAAA\n{END}",
        "-----BEGIN RSA PRIVATE KEY-----\ncanary\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\ncanary",
        "ssh-ed25519 AAAA",
    ],
)
def test_nonsense_is_refused_without_echo(pem: str) -> None:
    """The field is named, the reason told, nothing of what was given."""
    told = refused(pem)
    assert told.fields.keys() == {"ssh_pem_cert"}
    assert "canary" not in str(told)


def test_a_weak_key_is_refused() -> None:
    """1,024 bits of RSA protect nothing any more."""
    pem = asyncssh.generate_private_key("ssh-rsa", key_size=1024).export_private_key().decode()
    assert "2048 bits" in refused(pem).fields["ssh_pem_cert"]


@given(st.text(max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever is given ends as facts or as a refusal, never in another error."""
    text = text.encode("ascii", "ignore").decode()
    for given_text in (text, f"{BEGIN}\n{text}\n{END}", f"{BEGIN}{text}"):
        with pytest.raises(InvalidInput):
            KEYS.private_key(Secret(given_text), None)


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_blob_in_the_right_frame_is_refused(blob: bytes) -> None:
    """Lengths in the file that lead nowhere are a refusal too."""
    inside = base64.b64encode(b"openssh-key-v1\0" + blob).decode()
    with pytest.raises(InvalidInput):
        KEYS.private_key(Secret(f"{BEGIN}\n{inside}\n{END}"), None)


def test_host_keys_in_every_form_become_plain_lines() -> None:
    """Names of hosts, hashed ones too, and comments go; marks of authorities stay; doubles are one."""
    one, two = (public_line(private_key()) for _ in range(2))
    text = (
        f"# web-1:22 SSH-2.0-OpenSSH_9.9\nweb-1,10.0.0.7 {one} a comment\n|1|abc=|def= {one}\n"
        f"\n{two}\n@cert-authority *.example.org {two} CA\n"
    )
    assert KEYS.host_keys(text) == [one, two, f"@cert-authority {two}"]


@pytest.mark.parametrize(
    "line", ["canary", "ssh-ed25519 AAAAcanary", "@revoked web-1 ssh-ed25519 AAAA", "a b c", "@"]
)
def test_a_line_that_is_no_host_key_is_refused(line: str) -> None:
    """A pin that is none would pin nothing."""
    with pytest.raises(InvalidInput) as told:
        KEYS.host_keys(line)
    assert told.value.fields.keys() == {"known_host_key"}
    assert "canary" not in str(told.value)


def test_more_host_keys_than_a_host_has_are_refused() -> None:
    """Sixteen at most."""
    with pytest.raises(InvalidInput, match="16"):
        KEYS.host_keys(f"{public_line(private_key())}\n" * 17)


def test_a_certificate_names_the_key_that_it_certifies() -> None:
    """So that one of another key is found."""
    pem = private_key()
    certificate, key = KEYS.certificate(certificate_of(pem))
    assert key == public_line(pem)
    assert type_of(certificate) == "ssh-ed25519-cert-v01@openssh.com"
    for wrong in ("canary", public_line(pem), pem):
        with pytest.raises(InvalidInput) as told:
            KEYS.certificate(wrong)
        assert told.value.fields.keys() == {"certificate"}
        assert "canary" not in str(told.value)
