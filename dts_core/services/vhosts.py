"""Virtual hosts: machines reached by SSH. What is secret is sealed before it is stored, and no answer holds it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from dts_core.clock import Clock
from dts_core.errors import Conflict, KeyMissing
from dts_core.model import VirtualHost
from dts_core.names import HOST_PATTERN
from dts_core.services.access import Caller
from dts_core.services.admin import AdminWriter
from dts_core.services.documents import Collection, declared
from dts_core.services.mistakes import Mistakes
from dts_core.services.resources.base import Draft, Resource, refused_removal
from dts_core.services.resources.depending import holding
from dts_core.services.shellusers import granted, granted_before
from dts_core.services.vhostfields import check_id, checked
from dts_core.services.vhostkeys import SEALED, with_keys
from dts_core.services.vhostways import check_way
from dts_core.ssh.base import SshKeys, fingerprint, type_of
from dts_core.stores.base import Store
from dts_core.vault import Place, Secret, SecretFiles, Vault
from dts_core.views import Dependents, VhostDocument, VhostFields
from dts_core.views.vhosts import Auth, Mode

VHOSTS: Final = Collection[VirtualHost](
    name="vhosts",
    one="virtual host",
    kind=VirtualHost,
    fields=declared(VhostFields),
    secret=frozenset(SEALED.values()),
    document=VhostDocument,
    id_pattern=HOST_PATTERN,
    needs=("address", "user"),
    filters={"auth": Auth, "mode": Mode, "disabled": bool, "jump": str, "labels": str},
    sorts=("id", "address", "user", "auth", "mode", "disabled", "created_at", "updated_at"),
    texts=("address", "description"),
)


NOTE_TRIES: Final = 5


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes to log in to a virtual host, opened; prints nothing of it."""

    key: Secret | None = None
    passphrase: Secret | None = None
    password: Secret | None = None


class Vhosts(Resource[VirtualHost]):
    """The virtual hosts. Only administrators come here.

    Args:
        store: Where they are kept.
        clock: For their times.
        writer: Writes each change with its operation.
        vault: Seals and opens; None where there is no key file: then no secret is taken.
        files: Secrets that a virtual host names instead of storing them.
        keys: Makes the reader of SSH keys at its first use, since its library is slow to load.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        writer: AdminWriter,
        vault: Vault | None,
        files: SecretFiles,
        keys: Callable[[], SshKeys],
    ) -> None:
        super().__init__(VHOSTS, store, clock, writer)
        self._vault = vault
        self._files = files
        self._keys = keys
        self._lock = asyncio.Lock()

    def view(self, document: VirtualHost) -> VhostDocument:
        """A virtual host as shown; its secrets never leave."""
        pinned = document.known_host_key.splitlines()
        return VhostDocument(
            _id=document.id,
            address=document.address,
            port=document.port,
            user=document.user,
            auth=document.auth,  # type: ignore[typeddict-item]  # checked when it was given
            has_key=bool(document.sealed_key),
            has_passphrase=bool(document.sealed_passphrase),
            has_password=bool(document.sealed_password),
            key_encrypted=document.key_encrypted,
            key_type=type_of(document.public_key),
            key_fingerprint=fingerprint(document.public_key),
            public_key=document.public_key,
            certificate=document.certificate,
            known_host_key=document.known_host_key,
            known_host_fingerprints=[f"{type_of(each)} {fingerprint(each)}" for each in pinned],
            jump=document.jump,
            references=document.references,
            labels=document.labels,
            python=document.python,
            mode=document.mode,  # type: ignore[typeddict-item]  # checked when it was given
            shell_users=document.shell_users,
            description=document.description,
            disabled=document.disabled,
            created_at=document.created_at,
            updated_at=document.updated_at,
            revision=document.revision,
        )

    def check_id(self, doc_id: str) -> None:
        """A host name, or another name of letters, digits, dot, dash and _."""
        check_id(doc_id)

    def alone(self) -> asyncio.Lock:
        """Ways lead from one to the other: none changes while another is looked at."""
        return self._lock

    async def check(
        self, caller: Caller, doc_id: str, fields: dict[str, Any], mistakes: Mistakes
    ) -> dict[str, Any]:
        """The fields as they are stored; secrets are wrapped, and sealed with the document."""
        del caller, doc_id
        stored = checked(fields, mistakes)
        if stored.get("known_host_key"):
            with mistakes.at("known_host_key"):
                lines = await asyncio.to_thread(
                    lambda: self._keys().host_keys(stored["known_host_key"])
                )
                stored["known_host_key"] = "\n".join(lines)
        if "shell_users" in stored:
            stored["shell_granted"] = await self._granted(stored["shell_users"], mistakes)
        return {
            name: Secret(value) if name in SEALED and value is not None else value
            for name, value in stored.items()
        }

    async def _granted(self, names: Sequence[str], mistakes: Mistakes) -> dict[str, datetime]:
        found = await granted(self._store, names)
        if missing := [name for name in names if name not in found]:
            mistakes.add("shell_users", f"there is no user {missing[0]}")
        return found

    async def made(
        self, caller: Caller, doc_id: str, stored: Mapping[str, Any]
    ) -> Draft[VirtualHost]:
        """The new document, its secrets sealed."""
        del caller
        now = self._clock.now()
        bare = VirtualHost(
            id=doc_id,
            address=stored["address"],
            user=stored["user"],
            created_at=now,
            updated_at=now,
        )
        return Draft(await self._with(bare, {"auth": _auth_of(stored), **stored}))

    async def changed(
        self, caller: Caller, before: VirtualHost, stored: Mapping[str, Any]
    ) -> Draft[VirtualHost]:
        """The document with other fields, its secrets sealed."""
        del caller
        return Draft(await self._with(before, stored))

    async def dependents(self, document: VirtualHost) -> list[Dependents]:
        """Those that are reached through it."""
        found = await holding(self._store, VHOSTS, {"jump": document.id})
        return [found] if found.total else []

    async def guard(self, before: VirtualHost, after: VirtualHost | None) -> None:
        """One through which others are reached stays."""
        if after is None and (found := await self.dependents(before)):
            raise refused_removal(
                f"virtual host {before.id}", found, advice="Give those another jump first, or none."
            )

    async def agree(self, before: VirtualHost, after: VirtualHost | None) -> None:
        """Two ways that were changed at once by two servers make no circle."""
        del before
        if after is not None:
            await check_way(self._store, VHOSTS, after)

    async def credentials(self, caller: Caller, doc_id: str, *, why: str) -> Credentials:
        """Open what it takes to log in there; recorded before anything is opened. For the control side alone.

        Args:
            caller: On whose behalf.
            doc_id: Of the virtual host.
            why: What for, as the record says it.

        Raises:
            NotFound: There is none.
            VaultError: There is no vault, or a secret does not open.
            ConfigError: A file that it names is not there, or not private.
        """
        vhost = await self.load(caller, doc_id)
        await self._writer.record(caller, VHOSTS.name, doc_id, "open", {"why": [None, why]})
        return Credentials(
            key=self._opened(vhost, SEALED["ssh_pem_cert"]),
            passphrase=await self._found(vhost, "key_passphrase"),
            password=await self._found(vhost, "password"),
        )

    async def note(self, caller: Caller, doc_id: str, op_type: str, **fields: Any) -> VirtualHost:
        """Set what jobs keep of a virtual host beside its own fields, whoever changes those meanwhile; as it is then.

        Raises:
            NotFound: It is gone.
            Conflict: It is changed again and again.
        """
        left = NOTE_TRIES
        while True:
            left -= 1
            before = await self.load(caller, doc_id)
            after = msgspec.structs.replace(before, **fields)
            try:
                written = await self._writer.write(caller, VHOSTS, before, after, op_type=op_type)
            except Conflict:
                if not left:
                    raise
            else:
                return msgspec.structs.replace(after, revision=written.revision)

    async def _with(self, before: VirtualHost, stored: Mapping[str, Any]) -> VirtualHost:
        """The document with these fields, everything in it fitting together."""
        secrets = {name: value for name, value in stored.items() if name in SEALED}
        plain = {name: value for name, value in stored.items() if name not in SEALED}
        certificate = plain.pop("certificate", None)
        if before.shell_users and before.shell_granted is None and "shell_granted" not in plain:
            plain["shell_granted"] = await granted_before(self._store, before)
        after = msgspec.structs.replace(before, updated_at=self._clock.now(), **plain)
        if secrets or certificate is not None or plain.keys() & {"auth", "references"}:
            after = await with_keys(
                after,
                secrets,
                certificate,
                read=self._keys,
                opened=lambda field: self._opened(before, field),
                sealed=lambda field, secret: self._needed().seal(secret, _place(before, field)),
            )
        await check_way(self._store, VHOSTS, after)
        return after

    async def _found(self, vhost: VirtualHost, field: str) -> Secret | None:
        """A secret from the file that is named for it, else the stored one."""
        if name := vhost.references.get(field):
            return await asyncio.to_thread(self._files.read, name)
        return self._opened(vhost, SEALED[field])

    def _opened(self, vhost: VirtualHost, field: str) -> Secret | None:
        sealed: bytes = getattr(vhost, field)
        return self._needed().open(sealed, _place(vhost, field)) if sealed else None

    def _needed(self) -> Vault:
        if self._vault is None:
            raise KeyMissing(
                "this server has no vault: it takes and opens no secrets.",
                advice="Make a key with `dts admin vault new-key FILE` and name it in [vault] key_file.",
            )
        return self._vault


def _place(vhost: VirtualHost, field: str) -> Place:
    return Place(VHOSTS.name, vhost.id, field)


def _auth_of(stored: Mapping[str, Any]) -> Auth:
    """The way of logging in that goes with what a new virtual host is given."""
    if stored.get("certificate"):
        return "certificate"
    if stored.get("ssh_pem_cert"):
        return "key"
    by_file = stored.get("references", {})
    return "password" if stored.get("password") or "password" in by_file else "ask"
