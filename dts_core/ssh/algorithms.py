"""What may protect a connection: fast and sound first, nothing with SHA-1, CBC or a MAC over plain text."""

from typing import Any, Final

__all__ = ["CIPHERS", "KEY_EXCHANGES_REFUSED", "MACS", "SIGNATURES", "weakness"]

CIPHERS: Final = (
    "aes128-gcm@openssh.com",  # half the cost of chacha20 where the processor knows AES, and no target of Terrapin
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes128-ctr",
)
MACS: Final = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")
KEY_EXCHANGES_REFUSED: Final = "-*sha1*,rsa*"
"""Taken off asyncssh's own, which begin with the hybrids that hold against quantum computers."""
SIGNATURES: Final = (
    "ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521", "sk-ecdsa-sha2-nistp256@openssh.com", "rsa-sha2-512", "rsa-sha2-256",
)  # fmt: skip
_SAFE_WITHOUT_STRICTNESS: Final = {b"aes128-gcm@openssh.com", b"aes256-gcm@openssh.com"}


def weakness(connection: Any) -> str:
    """Why the exchange under way must not go on, in words; empty when it may.

    Without the strict key exchange (OpenSSH 9.6, or a patched older one) whoever stands in between can drop messages
    at the begin of a connection with chacha20 or encrypt-then-mac (CVE-2023-48795). asyncssh has no public word for
    what was agreed on before the first keys are in use: where its own names are gone, this refuses.
    """
    agreed = {
        getattr(connection, "_enc_alg_cs", b"?"),
        getattr(connection, "_enc_alg_sc", b"?"),
    }
    if agreed <= _SAFE_WITHOUT_STRICTNESS or getattr(connection, "_strict_kex", False):
        return ""
    names = ", ".join(sorted(name.decode("ascii", "replace") for name in agreed))
    return f"it agrees only on {names}, and does not know the strict key exchange (CVE-2023-48795)"
