"""Whether a host is the one that is meant: its key against what is pinned. Decides before anything of ours is shown."""

from typing import Final

import msgspec

from dts_core.errors import HostKeyChanged, HostKeyRejected, HostKeyUnknown
from dts_core.ssh.base import fingerprint, type_of

__all__ = ["Pins", "judge_authority", "judge_key", "offers"]

_AUTHORITY: Final = "@cert-authority "
_FORMS: Final = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
                 "rsa-sha2-512", "rsa-sha2-256")  # fmt: skip
"""Signatures that a host may prove its key by, best first; SHA-1 is not among them."""


class Pins(msgspec.Struct, frozen=True):
    """What is known of a host's key before it is asked."""

    keys: tuple[str, ...] = ()
    """`TYPE BASE64` of its keys."""
    authorities: tuple[str, ...] = ()
    """`TYPE BASE64` of who signs its certificates."""
    fingerprints: tuple[str, ...] = ()
    """`SHA256:...` told beforehand, when the keys themselves are not known yet."""
    revoked: tuple[str, ...] = ()
    """`TYPE BASE64` of keys and authorities that are never taken."""

    @classmethod
    def of_lines(cls, text: str, *fingerprints: str) -> "Pins":
        """From lines as a virtual host stores them (`SshKeys.host_keys` writes them)."""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return cls(
            tuple(line for line in lines if not line.startswith(_AUTHORITY)),
            tuple(line.removeprefix(_AUTHORITY) for line in lines if line.startswith(_AUTHORITY)),
            fingerprints,
        )

    def __bool__(self) -> bool:
        return bool(self.keys or self.authorities or self.fingerprints)


def judge_key(pins: Pins, host: str, shown: str) -> HostKeyRejected | None:
    """Why a host that shows this key (`TYPE BASE64`) must not be talked to; None when it is the right one."""
    told = fingerprint(shown)
    if shown in pins.revoked:
        return HostKeyRejected(
            f"its key {told} is revoked", host=host, shown=shown, fingerprint=told
        )
    if shown in pins.keys or told in pins.fingerprints:
        return None
    kind = type_of(shown)
    if not pins:
        text = f"its {kind} key {told} is not known here"
        return HostKeyUnknown(text, host=host, shown=shown, fingerprint=told)
    text = f"it shows the {kind} key {told}, and another one is pinned"
    return HostKeyChanged(text, host=host, shown=shown, fingerprint=told)


def judge_authority(pins: Pins, host: str, signer: str) -> HostKeyRejected | None:
    """The same for a host that shows a certificate; `signer` is the key (`TYPE BASE64`) of who signed it."""
    told = fingerprint(signer)
    if signer in pins.revoked:
        text = f"the authority {told} of its certificate is revoked"
        return HostKeyRejected(text, host=host, shown=signer, fingerprint=told)
    if signer in pins.authorities:
        return None
    text = f"its certificate is signed by {told}, which is not pinned as an authority"
    return HostKeyChanged(text, host=host, shown=signer, fingerprint=told)


def offers(pins: Pins) -> tuple[str, ...]:
    """Forms of host keys to ask for, best first.

    Those that can match, so that a host with several keys shows one of them.
    Certificates are asked for only when an authority is pinned.
    """
    certificates = tuple(f"{form}-cert-v01@openssh.com" for form in _FORMS)
    kinds = {type_of(key) for key in pins.keys}
    known = tuple(form for form in _FORMS if _kind_of(form) in kinds)
    if pins.fingerprints or not known:
        known += tuple(form for form in _FORMS if form not in known)
    if not pins.authorities:
        return known
    only = not pins.keys and not pins.fingerprints
    return certificates if only else certificates + known


def _kind_of(form: str) -> str:
    """The kind of key that makes signatures of this form."""
    return "ssh-rsa" if form.startswith("rsa-") else form
