"""Keys, and what they sign, seal and open."""

from dts_core.settings.base import Settings


class SigningSettings(Settings, frozen=True):
    """`[signing]` of a server: with which key it signs versions of functions."""

    key_file: str = ""
    """Private Ed25519 key in PEM that only the server's user may read. Empty: with an embedded store `signing.key` in
    the data folder, made at the first start; with MongoDB nothing is signed."""
    jobs: bool = False
    """Sign each job's envelope too, for workers that refuse others."""


class TrustSettings(Settings, frozen=True):
    """`[signing]` of a worker: whose versions of functions it runs."""

    public_keys: list[str] = []
    """As `dts admin signing public` prints them (ed25519:...); any of them may have signed."""
    public_keys_file: str = ""
    """A file with more of them, one a line, followed while the worker runs. Empty: on a link the server's `signing.pub`
    beside the socket."""
    required: bool = True
    """Without any key: true, the worker does not start; false, it runs what it gets, signed or not. With keys every
    version is checked, whatever this says."""
    jobs: bool = False
    """Refuse each job whose envelope none of these keys has signed; servers need the same setting."""


class SealingSettings(Settings, frozen=True):
    """`[arguments]` of a server: to which keys it seals secret arguments."""

    public_keys: list[str] = []
    """As `dts admin arguments public` prints them (x25519:...), each followed by a namespace if it is for one alone;
    the first that fits seals. Empty, with no file either: with an embedded store that of `arguments.key` in the data
    folder, made at the first start; with MongoDB none, and no secret arguments are taken."""
    public_keys_file: str = ""
    """A file with more of them, one a line."""


class OpeningSettings(Settings, frozen=True):
    """`[arguments]` of a worker, and of the internal worker: with which keys it opens secret arguments."""

    key_file: str = ""
    """File of private keys, mode 0600. Empty: on a link, and with an embedded store, the server's `arguments.key`
    where it can be read; else none, and jobs with secret arguments fail here."""


class VaultSettings(Settings, frozen=True):
    """`[vault]`: with which keys secrets in the store are sealed."""

    key_file: str = ""
    """File of keys, mode 0600, away from the store and its backups. Empty: `vault.key` in the data folder, made at the
    first start; with MongoDB: none, and no secrets are taken."""
    secrets_dir: str = ""
    """Folder of files, each with one secret, of mode 0600: virtual hosts may name one instead of storing a secret.
    Empty: none."""
