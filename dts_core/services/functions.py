"""Functions: sources with versions by content. They are parsed here, never imported."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from dts_core import codec
from dts_core.brokers.base import CONTROL, Broker, Message
from dts_core.clock import Clock
from dts_core.errors import BrokerError, DtsError, Forbidden, InvalidInput, NotFound
from dts_core.model import Function, FunctionVersion, Reload
from dts_core.names import split_function
from dts_core.services.access import DTS, Caller, check_manage
from dts_core.services.admin import AdminWriter
from dts_core.services.builtins import Builtins
from dts_core.services.directory import Directory
from dts_core.services.documents import (
    Collection,
    given_id,
    given_revision,
)
from dts_core.services.reading import SourceReader
from dts_core.services.signature import Reading
from dts_core.stores.base import Store
from dts_core.text import clean
from dts_core.views import (
    FunctionPage,
    FunctionView,
    IdItem,
    IdPage,
    SourceView,
    VersionView,
    Written,
)

VERSIONS_MAX: Final = 200
"""Versions listed of one function; the oldest leave the list, jobs that name them still run."""
NOTE_MAX: Final = 500
_log = logging.getLogger(__name__)


def _versions_shown(versions: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {version["hash"][:12]: version["note"] for version in versions}


FUNCTIONS: Final = Collection[Function](
    name="functions",
    one="function",
    kind=Function,
    fields={"source": str, "note": str, "default": str},
    shown={"versions": _versions_shown},
)


class Functions:
    """The functions; members of a namespace see its, administrators (of all, or of the namespace) write."""

    def __init__(
        self,
        store: Store,
        broker: Broker,
        clock: Clock,
        writer: AdminWriter,
        directory: Directory,
        builtins: Builtins,
    ) -> None:
        self._builtins = builtins
        self._store = store
        self._broker = broker
        self._clock = clock
        self._writer = writer
        self._directory = directory
        self._reader = SourceReader()

    async def page(
        self,
        caller: Caller,
        *,
        namespace: str = "",
        prefix: str = "",
        cursor: str = "",
        limit: int = 100,
    ) -> FunctionPage:
        """One page by id, of the functions that the caller sees; it may be short yet have a next.

        An administrator sees those of namespace `dts/` too; they come with dts or lie in the plugins folder.

        Args:
            caller: Who asks.
            namespace: Only of this one.
            prefix: Only names that begin so; of ids when no namespace is given.
            cursor: `next` of the page before.
            limit: 1..500.
        """
        start = f"{namespace}/{prefix}" if namespace else prefix
        found, following = await FUNCTIONS.page(
            self._store, after=cursor, limit=limit, prefix=start
        )
        seen = [each for each in found if caller.sees_namespace(each.namespace)]
        if caller.is_admin and namespace in ("", DTS) and (not cursor or cursor < f"{DTS}0"):
            for each in await self._builtins.functions():
                is_here = cursor < each.id and (not following or each.id <= following)
                if is_here and each.id.startswith(start):
                    seen.append(each)
            seen.sort(key=lambda each: each.id)
        return FunctionPage(items=[view(each) for each in seen], next=following)

    async def ids(
        self,
        caller: Caller,
        *,
        namespace: str = "",
        prefix: str = "",
        cursor: str = "",
        limit: int = 100,
    ) -> IdPage:
        """As `page`, ids only."""
        found = await self.page(
            caller, namespace=namespace, prefix=prefix, cursor=cursor, limit=limit
        )
        return IdPage(items=[IdItem(id=each.id) for each in found.items], next=found.next)

    async def get(self, caller: Caller, function: str) -> FunctionView:
        """One function.

        Raises:
            NotFound: There is none that the caller sees.
        """
        return view(await self._seen(caller, function))

    async def source(self, caller: Caller, function: str, *, version: str = "") -> SourceView:
        """Source of a version; of the default one when none is named.

        Raises:
            NotFound: No such function or version.
        """
        found = await self._seen(caller, function)
        digest = version or found.default
        listed = any(each.hash == digest for each in found.versions)
        if found.namespace == DTS and listed:
            text = await self._builtins.source(found.name, digest)
            if text is not None:
                return SourceView(hash=digest, source=text)
        data = await self._store.get_blob(digest) if listed else None
        if data is None:
            raise NotFound(f"function {function} has no version {clean(digest, 64)!r}.")
        return SourceView(hash=digest, source=data.decode())

    async def create(self, caller: Caller, body: Mapping[str, Any]) -> Written:
        """Create a function from `_id` (namespace/name), `source` and `note`.

        Raises:
            Forbidden: The caller does not administer the namespace.
            FunctionRefused: The source does not parse or has no main.
            InvalidInput: The namespace does not exist, or a field is wrong.
            Conflict: It exists.
        """
        function = given_id(body)
        namespace, name = split_function(function)
        await self._check_manage(caller, function, namespace, "create")
        fields = FUNCTIONS.accept(body, besides=("_id",))
        if "default" in fields:
            raise InvalidInput(
                "a new function's default is its first version.",
                fields={"default": "not at creation"},
            )
        if "source" not in fields:
            raise InvalidInput("a function needs its source.", fields={"source": "required"})
        if namespace not in await self._directory.namespaces():
            raise InvalidInput(
                f"there is no namespace {namespace}.",
                fields={"_id": "no such namespace"},
                advice="An administrator creates it: POST /admin/namespaces (docs/howto.md shows how).",
            )
        version, reading = await self._version(caller, fields)
        made = Function(
            id=function,
            namespace=namespace,
            name=name,
            owner=caller.user,
            default=version.hash,
            versions=[version],
            created_at=version.created_at,
            updated_at=version.created_at,
        )
        return await self._write(caller, None, made, [(reading.hash, fields["source"].encode())])

    async def update(self, caller: Caller, function: str, body: Mapping[str, Any]) -> Written:
        """Add a version (`source`, which becomes the default), or change `default` or the default's `note`.

        Raises:
            Forbidden: The caller does not administer the namespace.
            FunctionRefused: The source does not parse or has no main; the old version stays.
            InvalidInput: A field is wrong, or `revision` is missing.
            NotFound: There is no such function.
            Conflict: It was changed meanwhile.
        """
        await self._check_manage(caller, function, split_function(function)[0], "update")
        fields = FUNCTIONS.accept(body, besides=("revision",))
        if not (revision := given_revision(body)):
            raise InvalidInput(
                "the change must name the revision it was made on.",
                fields={"revision": "required"},
                advice="Load the function and send its revision.",
            )
        before = await FUNCTIONS.load(self._store, function)
        await self._writer.expect(caller, FUNCTIONS, before, revision, "update")
        blobs = []
        after = before
        if "source" in fields:
            version, _ = await self._version(caller, fields)
            after = _with_version(before, version)
            blobs = [(version.hash, fields["source"].encode())]
        elif "note" in fields:
            after = _with_note(before, fields.get("default", before.default), fields["note"])
        if "default" in fields:
            after = _with_default(after, fields["default"])
        after = msgspec.structs.replace(after, updated_at=self._clock.now())
        return await self._write(caller, before, after, blobs)

    async def delete(self, caller: Caller, function: str, *, revision: int = 0) -> Written:
        """Remove a function; its sources stay for the jobs that name them.

        Raises:
            Forbidden: The caller does not administer the namespace.
            NotFound: There is none.
            Conflict: It was changed meanwhile.
        """
        await self._check_manage(caller, function, split_function(function)[0], "delete")
        before = await FUNCTIONS.load(self._store, function)
        await self._writer.expect(caller, FUNCTIONS, before, revision, "delete")
        return await self._write(caller, before, None, [])

    async def _seen(self, caller: Caller, function: str) -> Function:
        namespace, name = split_function(function)
        if namespace == DTS:
            found = await self._builtins.function(name)
        else:
            found = await FUNCTIONS.find(self._store, function)
        if found is None or not caller.sees_namespace(namespace):
            raise no_function(function)
        return found

    async def _check_manage(
        self, caller: Caller, function: str, namespace: str, op_type: str
    ) -> None:
        try:
            if namespace == DTS:
                raise Forbidden(
                    f"namespace {DTS} is the control side's own.",
                    advice="An administrator's own go into the server's plugins folder.",
                )
            check_manage(caller, namespace)
        except DtsError as error:
            await self._writer.refused(caller, FUNCTIONS.name, function, op_type, error)
            raise

    async def _version(
        self, caller: Caller, fields: Mapping[str, Any]
    ) -> tuple[FunctionVersion, Reading]:
        reading = await self._reader.read(fields["source"])
        version = FunctionVersion(
            hash=reading.hash,
            author=caller.user,
            created_at=self._clock.now(),
            note=clean(fields.get("note", ""), NOTE_MAX),
            size=reading.size,
            summary=reading.summary,
            doc=reading.doc,
            is_async=reading.is_async,
            parameters=reading.parameters,
        )
        return version, reading

    async def _write(
        self,
        caller: Caller,
        before: Function | None,
        after: Function | None,
        blobs: Sequence[tuple[str, bytes]],
    ) -> Written:
        written = await self._writer.write(caller, FUNCTIONS, before, after, blobs=blobs)
        if after is None:
            return written
        if before is None or before.default != after.default:
            await self._announce(Reload(function=after.id, hash=after.default))
        return msgspec.structs.replace(written, version=after.default)

    async def _announce(self, reload: Reload) -> None:
        """Let workers fetch ahead; a job brings the hash it needs anyway."""
        message = Message(body=codec.encode(reload), type="Reload")
        try:
            await self._broker.fanout(CONTROL, message)
        except BrokerError as error:
            _log.info("workers were not told of %s: %s", reload.function, error)


def _with_version(function: Function, version: FunctionVersion) -> Function:
    """The function with a version as its newest and default; one of the same content moves up."""
    others = [each for each in function.versions if each.hash != version.hash]
    kept = [*others, version][-VERSIONS_MAX:]
    return msgspec.structs.replace(function, versions=kept, default=version.hash)


def _with_note(function: Function, digest: str, note: str) -> Function:
    versions = [
        msgspec.structs.replace(each, note=clean(note, NOTE_MAX)) if each.hash == digest else each
        for each in function.versions
    ]
    return msgspec.structs.replace(function, versions=versions)


def _with_default(function: Function, digest: str) -> Function:
    if all(each.hash != digest for each in function.versions):
        raise InvalidInput(
            f"function {function.id} has no version {clean(digest, 64)!r}.",
            fields={"default": "no such version"},
        )
    return msgspec.structs.replace(function, default=digest)


def no_function(function: str) -> NotFound:
    """The error for a function that is not there, or not for this user."""
    return NotFound(
        f"there is no function {clean(function, 120)}.", advice="See `dts functions list`."
    )


def view(function: Function) -> FunctionView:
    """A function as the API shows it."""
    return FunctionView(
        id=function.id,
        namespace=function.namespace,
        name=function.name,
        owner=function.owner,
        default=function.default,
        versions=[
            VersionView(**{name: getattr(each, name) for name in VersionView.__struct_fields__})
            for each in function.versions
        ],
        created_at=function.created_at,
        updated_at=function.updated_at,
        revision=function.revision,
    )
