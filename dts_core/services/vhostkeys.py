"""What a virtual host logs in with: a key that is read before it is stored, and secrets that fit each other."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from dts_core.errors import InvalidInput
from dts_core.model import VirtualHost
from dts_core.ssh.base import SshKeys
from dts_core.vault import Secret

__all__ = ["SEALED", "with_keys"]

SEALED: Final = {
    "ssh_pem_cert": "sealed_key",
    "key_passphrase": "sealed_passphrase",
    "password": "sealed_password",
}
"""Secret fields of a request, and where they are stored."""
Given = Mapping[str, Secret | None]


async def with_keys(
    vhost: VirtualHost,
    given: Given,
    certificate: str | None,
    *,
    read: Callable[[], SshKeys],
    opened: Callable[[str], Secret | None],
    sealed: Callable[[str, Secret], bytes],
) -> VirtualHost:
    """The virtual host with these secrets and this certificate, and what is told of its key.

    A passphrase that is stored goes when the new key is not encrypted.

    Args:
        vhost: With the other fields as they will be.
        given: Secret fields that change; None or an empty one takes it away.
        certificate: The new one; empty takes it away, None leaves it.
        read: Gives what reads SSH keys.
        opened: A stored secret, opened.
        sealed: A secret, sealed for its field.

    Raises:
        InvalidInput: A key is none, its passphrase does not fit, or the way of logging in has not what it needs.
        VaultError: A secret cannot be sealed or opened.
    """
    changed = {
        SEALED[name]: sealed(SEALED[name], secret) if secret else b""
        for name, secret in given.items()
    }
    after = msgspec.structs.replace(vhost, **changed)
    if "ssh_pem_cert" in given or "key_passphrase" in given:
        after = await _with_facts(after, given, read, opened)
    if certificate is not None:
        certified, key = await asyncio.to_thread(_certificate, read, certificate)
        if key and after.public_key and key != after.public_key:
            raise _wrong("certificate", "it certifies another key than ssh_pem_cert")
        after = msgspec.structs.replace(after, certificate=certified)
    _check_complete(after)
    return after


async def _with_facts(
    vhost: VirtualHost,
    given: Given,
    read: Callable[[], SshKeys],
    opened: Callable[[str], Secret | None],
) -> VirtualHost:
    key = given["ssh_pem_cert"] if "ssh_pem_cert" in given else opened(SEALED["ssh_pem_cert"])
    told = given.get("key_passphrase")
    if not key:
        if told:
            raise _wrong("key_passphrase", "there is no ssh_pem_cert that it would open")
        return msgspec.structs.replace(
            vhost, sealed_passphrase=b"", key_encrypted=False, public_key="", certificate=""
        )
    facts = await asyncio.to_thread(lambda: read().private_key(key, told))
    is_kept = "key_passphrase" not in given and bool(vhost.sealed_passphrase)
    if is_kept and facts.is_encrypted:
        facts = await asyncio.to_thread(
            lambda: read().private_key(key, opened(SEALED["key_passphrase"]))
        )
    after = msgspec.structs.replace(
        vhost, key_encrypted=facts.is_encrypted, public_key=facts.public_key
    )
    if not facts.is_encrypted:
        after = msgspec.structs.replace(after, sealed_passphrase=b"")
    if facts.public_key != vhost.public_key:
        after = msgspec.structs.replace(after, certificate="")
    return after


def _certificate(read: Callable[[], SshKeys], text: str) -> tuple[str, str]:
    return read().certificate(text) if text.strip() else ("", "")


def _check_complete(vhost: VirtualHost) -> None:
    """The way of logging in has what it needs; `ask` asks a person for what is not stored."""
    by_file = vhost.references.get
    for field in vhost.references:
        if getattr(vhost, SEALED[field]):
            raise _wrong("references", f"{field} is stored: take that away first, or name no file")
    if by_file("key_passphrase") and not vhost.key_encrypted:
        raise _wrong("references", "there is no encrypted private key for key_passphrase to open")
    if vhost.auth in ("key", "certificate"):
        if not vhost.sealed_key:
            raise _wrong("ssh_pem_cert", f"auth = {vhost.auth} needs a private key")
        if vhost.key_encrypted and not (vhost.sealed_passphrase or by_file("key_passphrase")):
            raise _wrong(
                "key_passphrase",
                "the private key is encrypted: give its passphrase, or set auth to ask",
            )
    if vhost.auth == "certificate" and not vhost.certificate:
        raise _wrong("certificate", "auth = certificate needs the user's certificate")
    if vhost.auth == "password" and not (vhost.sealed_password or by_file("password")):
        raise _wrong("password", "auth = password needs one; with auth = ask it is asked for")


def _wrong(field: str, why: str) -> InvalidInput:
    return InvalidInput(f"the virtual host cannot be written: {field}: {why}.", fields={field: why})
