"""The form of a backup: a tar of a manifest and the store's file, which the manifest's digest belongs to."""

import errno
import hashlib
import io
import os
import tarfile
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final, Self

import msgspec

from dts_core.errors import ConfigError, SchemaMismatch
from dts_core.text import clean

__all__ = ["KEPT_OUT", "Manifest", "pack", "unpack"]

FORMAT: Final = 1
KEPT_OUT: Final = ("vault.key", "signing.key", "audit.key", "admin.json", "plugins")
"""What lies beside the store and is not in a backup: keys and secrets that would open it, and the plugins."""
_MANIFEST: Final = "manifest.json"
_STORE: Final = "store.db"
_MANIFEST_MAX: Final = 1 << 16
_CHUNK: Final = 1 << 20
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
"""What file systems without hard links say: those of memory sticks, and some of networks."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself; one of a newer version may say more."""

    format: int = FORMAT
    dts: str
    """The version that took it."""
    schema: int
    taken_at: datetime
    size: int
    """Of the store's file, in bytes."""
    sha256: str
    kept_out: tuple[str, ...] = KEPT_OUT

    @classmethod
    def of(cls, store: Path, *, dts: str, schema: int, taken_at: datetime) -> Self:
        """The manifest of a store's file."""
        with store.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return cls(
            dts=dts, schema=schema, taken_at=taken_at, size=store.stat().st_size, sha256=digest
        )


def pack(file: Path, store: Path, manifest: Manifest) -> None:
    """Write a backup of mode 0600: whole, synced, and never in place of another file.

    Raises:
        ConfigError: The file exists.
        OSError: It cannot be written. Nothing is left of it.
    """
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
                told = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
                archive.addfile(_entry(_MANIFEST, len(told), manifest), io.BytesIO(told))
                with store.open("rb") as stream:
                    archive.addfile(_entry(_STORE, manifest.size, manifest), stream)
            out.flush()
            os.fsync(out.fileno())
        _put(draft, file)
    except FileExistsError as error:
        raise ConfigError(
            "exists already.", file=clean(str(file), 400), advice="Give the backup a new name."
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def unpack(file: Path, store: Path) -> Manifest:
    """Write the store's file of a backup to `store`, a new file of mode 0600, synced, its digest compared.

    Nothing else of the archive is written, whatever is in it, and nothing is left when this fails.

    Raises:
        ConfigError: It cannot be read, is no backup, or not as it was written.
        SchemaMismatch: A newer version wrote it, in another form.
    """
    shown = clean(str(file), 400)
    try:
        with tarfile.open(file, mode="r:") as archive:
            manifest = _manifest(archive, shown)
            with _member(archive, _STORE, manifest.size) as stream:
                digest = _write(stream, store)
    except (tarfile.TarError, EOFError, _NoBackupError, msgspec.MsgspecError) as error:
        store.unlink(missing_ok=True)
        raise ConfigError(
            "is no backup of dts, or cut off.",
            file=shown,
            advice="Give a file that `dts admin backup` wrote.",
        ) from error
    except OSError as error:
        raise ConfigError(f"cannot be restored: {error.strerror}.", file=shown) from error
    if digest != manifest.sha256:
        store.unlink(missing_ok=True)
        raise ConfigError(
            "is not as it was written: its digest differs.", file=shown, advice="Take another one."
        )
    return manifest


class _NoBackupError(Exception):
    """The archive holds something else."""


def _put(draft: Path, file: Path) -> None:
    """Give the draft its name. Raises FileExistsError: there is such a file."""
    try:
        os.link(draft, file)  # unlike a rename it never replaces a file
    except OSError as error:
        if error.errno not in _NO_LINKS or file.exists():
            raise
        draft.rename(file)


def _entry(name: str, size: int, manifest: Manifest) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o600, int(manifest.taken_at.timestamp())
    return entry


def _manifest(archive: tarfile.TarFile, shown: str) -> Manifest:
    with _member(archive, _MANIFEST, None) as stream:
        content = stream.read(_MANIFEST_MAX)
    form = msgspec.json.decode(content, type=dict[str, msgspec.Raw]).get(
        "format", msgspec.Raw(b"0")
    )
    if msgspec.json.decode(form, type=int) != FORMAT:
        raise SchemaMismatch(
            f"{shown} is a backup in a form that this version does not know.",
            advice="Restore it with the dts that wrote it, or a newer one.",
        )
    return msgspec.json.decode(content, type=Manifest)


def _member(archive: tarfile.TarFile, name: str, size: int | None) -> BinaryIO:
    """The next entry, when it is this one and a plain file."""
    entry = archive.next()
    if entry is None or entry.name != name or not entry.isreg() or size not in (None, entry.size):
        raise _NoBackupError
    stream = archive.extractfile(entry)
    assert stream is not None  # a plain file has a content
    return stream  # type: ignore[return-value]  # what tarfile calls IO[bytes] is read like any file


def _write(stream: BinaryIO, store: Path) -> str:
    """Copy the content, and return its sha256 in hex."""
    digest = hashlib.sha256()
    descriptor = os.open(store, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()
