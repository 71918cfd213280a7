"""SSH keys for tests: made by asyncssh, so that no private key lies in the repository."""

import asyncssh

PASSPHRASE = "sesame-Canary7-passphrase"


def private_key(passphrase: str = "", kind: str = "ssh-ed25519") -> str:
    """A new private key in PEM; PKCS#8 when it is encrypted."""
    key = asyncssh.generate_private_key(kind)
    if not passphrase:
        return key.export_private_key("openssh").decode()
    return key.export_private_key("pkcs8-pem", passphrase=passphrase).decode()


def public_line(private: str, passphrase: str | None = None) -> str:
    """`TYPE BASE64` of a private key."""
    key = asyncssh.import_private_key(private, passphrase)
    return " ".join(key.export_public_key().decode().split()[:2])


def fingerprint_of(private: str, passphrase: str | None = None) -> str:
    """`SHA256:...` as asyncssh computes it."""
    found: str = asyncssh.import_private_key(private, passphrase).get_fingerprint()
    return found


def certificate_of(private: str) -> str:
    """A user's certificate for the key, signed by a new authority."""
    authority = asyncssh.generate_private_key("ssh-ed25519")
    key = asyncssh.import_private_key(private)
    made = authority.generate_user_certificate(key, "ann", principals=["root"])
    return made.export_certificate().decode()
