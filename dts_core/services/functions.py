"""Functions: sources with versions by content. They are parsed here, never imported."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from dts_core import codec
from dts_core.brokers.base import CONTROL, Broker, Message
from dts_core.clock import Clock
from dts_core.errors import BrokerError, DtsError, Forbidden, InvalidInput, NotFound
from dts_core.model import Function, FunctionVersion, JobQuery, Reload
from dts_core.names import FUNCTION_PATTERN, NAME_MAX, split_function
from dts_core.services.access import DTS, Caller, check_manage
from dts_core.services.admin import AdminWriter
from dts_core.services.builtins import Builtins
from dts_core.services.canaries import CANARY, NEW, check_hosts, reloads, with_canary
from dts_core.services.directory import Directory
from dts_core.services.documents import Collection, declared, given_revision
from dts_core.services.mistakes import Mistakes
from dts_core.services.outcomes import OUTCOMES_MAX, outcomes
from dts_core.services.reading import SourceReader
from dts_core.services.resources.base import Draft, Resource, Wanted
from dts_core.services.resources.depending import open_jobs
from dts_core.services.resources.listing import matcher
from dts_core.services.signatures import leaving
from dts_core.services.versions import with_default, with_note, with_version
from dts_core.signing import Signer
from dts_core.stores.base import Store
from dts_core.text import clean
from dts_core.views import (
    Dependents,
    DocumentPage,
    FunctionOutcomes,
    FunctionPage,
    FunctionView,
    SourceView,
    VersionView,
    Written,
)
from dts_core.views.declared import NOTE_MAX, FunctionFields

_log = logging.getLogger(__name__)


def _versions_shown(versions: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {version["hash"][:12]: version["note"] for version in versions}


FUNCTIONS: Final = Collection[Function](
    name="functions",
    one="function",
    kind=Function,
    fields=declared(FunctionFields),
    shown={"versions": _versions_shown},
    document=FunctionView,
    id_pattern=FUNCTION_PATTERN,
    id_max=2 * NAME_MAX + 1,
    needs=("source",),
    later=frozenset({"default", *CANARY}),
    filters={"owner": str},
    sorts=("id", "owner", "created_at", "updated_at"),
)


class Functions(Resource[Function]):
    """The functions; members of a namespace see its, administrators (of all, or of the namespace) write."""

    def __init__(
        self,
        store: Store,
        broker: Broker,
        clock: Clock,
        writer: AdminWriter,
        directory: Directory,
        builtins: Builtins,
        signer: Signer | None = None,
    ) -> None:
        super().__init__(FUNCTIONS, store, clock, writer)
        self._builtins = builtins
        self._signer = signer
        self._broker = broker
        self._directory = directory
        self._reader = SourceReader()

    def view(self, document: Function) -> FunctionView:
        """A function as the API shows it."""
        return view(document)

    def sees(self, caller: Caller, doc_id: str) -> bool:
        """Members of its namespace, and administrators."""
        return caller.sees_namespace(doc_id.partition("/")[0])

    def missing(self, doc_id: str) -> NotFound:
        """The error for a function that is not there, or not for this user."""
        return no_function(doc_id)

    def check_id(self, doc_id: str) -> None:
        """namespace/name."""
        try:
            split_function(doc_id)
        except InvalidInput as error:
            error.fields = {"_id": error.fields["function"]}
            raise

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

        Args:
            caller: Who asks.
            namespace: Only of this one.
            prefix: Only names that begin so; of ids when no namespace is given.
            cursor: `next` of the page before.
            limit: 1..500.
        """
        start = f"{namespace}/{prefix}" if namespace else prefix
        return await self.find(caller, Wanted(prefix=start, cursor=cursor, limit=limit))

    async def find(
        self, caller: Caller, wanted: Wanted, *, fields: Sequence[str] = ()
    ) -> DocumentPage[Any]:
        """One page. An administrator sees those of namespace `dts/` too in lists by id.

        They come with dts or lie in the plugins folder. Raises as `Resource.find`.
        """
        page = await super().find(caller, wanted, fields=fields)
        if wanted.sort not in ("", "id") or not self.sees(caller, f"{DTS}/"):
            return page
        matches = matcher(FUNCTIONS, wanted)
        more = [
            self.project(each, fields)
            for each in await self._builtins.functions()
            if wanted.cursor < each.id
            and (not page.next or each.id <= page.next)
            and each.id.startswith(wanted.prefix)
            and matches(each)
        ]
        items = sorted([*page.items, *more], key=_id_of) if more else page.items
        return DocumentPage(items=items, next=page.next)

    async def load(self, caller: Caller, doc_id: str) -> Function:
        """One function as it is stored, or as its file says in namespace `dts/`.

        Raises:
            NotFound: There is none that the caller sees.
        """
        namespace, name = split_function(doc_id)
        if namespace != DTS:
            return await super().load(caller, doc_id)
        found = await self._builtins.function(name)
        if found is None or not self.sees(caller, doc_id):
            raise no_function(doc_id)
        return found

    async def source(self, caller: Caller, function: str, *, version: str = "") -> SourceView:
        """Source of a version; of the default one when none is named.

        Raises:
            NotFound: No such function or version.
        """
        found = await self.load(caller, function)
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

    async def outcomes(self, caller: Caller, function: str) -> FunctionOutcomes:
        """What became of its newest jobs, by the version that they run. Raises NotFound as `load`."""
        await self.load(caller, function)
        page = await self._store.find_jobs(JobQuery(function=function, limit=OUTCOMES_MAX))
        return outcomes(function, page.items, is_all=not page.next)

    async def allow(self, caller: Caller, doc_id: str, op_type: str) -> None:
        """Let pass administrators of all, or of the namespace; the attempt is recorded.

        Raises:
            NotFound: The function is of a namespace that the caller does not see.
            Forbidden: They may not write it.
        """
        namespace = split_function(doc_id)[0]
        try:
            if namespace == DTS:
                raise Forbidden(
                    f"namespace {DTS} is the control side's own.",
                    advice="An administrator's own go into the server's plugins folder.",
                )
            if op_type != "create" and not self.sees(caller, doc_id):
                raise no_function(doc_id)
            check_manage(caller, namespace)
        except DtsError as error:
            await self._writer.refused(caller, FUNCTIONS.name, doc_id, op_type, error)
            raise

    async def check(
        self, caller: Caller, doc_id: str, fields: dict[str, Any], mistakes: Mistakes
    ) -> dict[str, Any]:
        """The source read, which makes it a version; the note cleaned; of a new function its namespace."""
        stored: dict[str, Any] = (
            {"note": clean(fields["note"], NOTE_MAX)} if "note" in fields else {}
        )
        stored |= {name: fields[name] for name in ("default", *CANARY) if name in fields}
        if fields.get("canary") == NEW and "source" not in fields:
            mistakes.add("canary", "needs the source that it is made of")
        if "canary_hosts" in fields:
            with mistakes.at("canary_hosts"):
                stored["canary_hosts"] = check_hosts(fields["canary_hosts"])
        if "source" in fields:
            with mistakes.at("source"):
                version = await self._version(caller, doc_id, fields["source"], stored.get("note"))
                stored |= {"version": version, "content": fields["source"].encode()}
        return stored

    async def check_new(self, doc_id: str, mistakes: Mistakes) -> None:
        """Its namespace has to be there."""
        with mistakes.at("_id"):
            namespace = split_function(doc_id)[0]
            if namespace not in await self._directory.namespaces():
                raise InvalidInput(
                    f"there is no namespace {namespace}.",
                    fields={"_id": "no such namespace"},
                    advice="An administrator creates it: POST /admin/namespaces (docs/howto.md shows how).",
                )

    async def made(self, caller: Caller, doc_id: str, stored: Mapping[str, Any]) -> Draft[Function]:
        """A function with its first version."""
        version: FunctionVersion = stored["version"]
        namespace, name = split_function(doc_id)
        made = Function(
            id=doc_id,
            namespace=namespace,
            name=name,
            owner=caller.user,
            default=version.hash,
            versions=[version],
            created_at=version.created_at,
            updated_at=version.created_at,
        )
        return self._draft(None, made, stored)

    async def changed(
        self, caller: Caller, before: Function, stored: Mapping[str, Any]
    ) -> Draft[Function]:
        """With a further version (which becomes the default, or the canary), another of them, or another note."""
        after, canary = before, {name: stored[name] for name in CANARY if name in stored}
        if "version" in stored:
            is_canary = canary.get("canary") == NEW
            after = with_version(
                before, stored["version"], is_default=not is_canary and "default" not in stored
            )
            if is_canary:
                canary["canary"] = stored["version"].hash
        elif "note" in stored:
            after = with_note(before, stored.get("default", before.default), stored["note"])
        if "default" in stored:
            after = with_default(after, stored["default"])
        after = with_canary(after, canary)
        after = msgspec.structs.replace(after, updated_at=self._clock.now())
        return self._draft(before, after, stored)

    def revision_of(self, body: Mapping[str, Any]) -> int:
        """The revision that the change was made on; a function's change must name it."""
        if not (revision := given_revision(body)):
            raise InvalidInput(
                "the change must name the revision it was made on.",
                fields={"revision": "required"},
                advice="Load the function and send its revision.",
            )
        return revision

    def leaves(self, before: Function | None) -> Sequence[tuple[str, bytes]]:
        """The signatures of its versions, for the jobs that name them."""
        return leaving(before, None)

    async def dependents(self, document: Function) -> list[Dependents]:
        """Its jobs that are not over; they run on, with the version they name."""
        jobs = await open_jobs(self._store, document.id)
        return [jobs] if jobs.total else []

    async def written(
        self, before: Function | None, after: Function | None, answer: Written
    ) -> Written:
        """Workers hear of a new default, and of a canary."""
        if after is None:
            return answer
        for order in reloads(before, after):
            await self._announce(order)
        is_tried = before is not None and after.canary not in ("", before.canary)
        return msgspec.structs.replace(answer, version=after.canary if is_tried else after.default)

    def _draft(
        self, before: Function | None, after: Function, stored: Mapping[str, Any]
    ) -> Draft[Function]:
        version: FunctionVersion | None = stored.get("version")
        blobs = [] if version is None else [(version.hash, stored["content"])]
        return Draft(after, [*blobs, *leaving(before, after)])

    async def _version(
        self, caller: Caller, function: str, source: str, note: str | None
    ) -> FunctionVersion:
        reading = await self._reader.read(source)
        return FunctionVersion(
            hash=reading.hash,
            author=caller.user,
            created_at=self._clock.now(),
            note=note or "",
            size=reading.size,
            summary=reading.summary,
            doc=reading.doc,
            is_async=reading.is_async,
            parameters=reading.parameters,
            requires_python=reading.requires_python,
            dependencies=reading.dependencies,
            signature=None if self._signer is None else self._signer.sign(function, reading.hash),
        )

    async def _announce(self, reload: Reload) -> None:
        """Let workers fetch ahead; a job brings the hash it needs anyway."""
        message = Message(body=codec.encode(reload), type="Reload")
        try:
            await self._broker.fanout(CONTROL, message)
        except BrokerError as error:
            _log.info("workers were not told of %s: %s", reload.function, error)


def _id_of(item: Any) -> str:
    doc_id: str = item["_id"] if isinstance(item, dict) else item.id
    return doc_id


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
        canary=function.canary,
        canary_share=function.canary_share,
        canary_hosts=function.canary_hosts,
    )
