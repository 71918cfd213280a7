"""What administrators keep: functions, users, namespaces, and the record of each write."""

from datetime import datetime
from typing import Annotated, Any, TypeAlias

from msgspec import Meta

from dts_core.model import Parameter
from dts_core.views.base import View
from dts_core.views.declared import DocumentPage


class VersionView(View, frozen=True):
    """One version of a function."""

    hash: str
    author: str
    created_at: datetime
    note: str = ""
    size: int = 0
    summary: str = ""
    doc: str = ""
    is_async: bool = False
    parameters: list[Parameter] = []
    requires_python: str = ""
    """Of its script block (PEP 723); empty: any."""
    dependencies: list[str] = []
    """Requirements of its script block, for which workers make an environment."""
    signed_by: str = ""
    """Id of the key that signed it; empty: nobody has."""


class FunctionView(View, frozen=True, rename={"id": "_id"}):
    """A function with its versions, newest last."""

    id: str
    namespace: str
    name: str
    owner: str
    default: str
    versions: list[VersionView]
    created_at: datetime
    updated_at: datetime
    revision: int
    canary: str = ""
    """Hash of the version that is tried beside the default one; empty: none is."""
    canary_share: float = 0.0
    canary_hosts: list[str] = []

    @property
    def current(self) -> VersionView:
        """The default version."""
        return next(version for version in self.versions if version.hash == self.default)


FunctionPage: TypeAlias = DocumentPage[FunctionView]
"""GET /admin/functions."""


class VersionOutcomes(View, frozen=True):
    """What became of the jobs that run one version."""

    version: str
    done: int = 0
    failed: int = 0
    """Failed, or dead."""
    ended: int = 0
    """Cancelled, or expired."""
    open: int = 0
    """Not over."""


class FunctionOutcomes(View, frozen=True):
    """GET /admin/functions/{namespace}/{name}/outcomes: of the newest jobs, by the version that they run."""

    function: str
    looked_at: int
    """How many jobs; the newest ones."""
    is_all: bool
    """Whether there are no others."""
    versions: list[VersionOutcomes]
    """Those that any of them runs, the one of the newest job first."""


class DeployRequest(View, frozen=True, forbid_unknown_fields=True):
    """Which version to have ready, and where."""

    version: str = ""
    """Its hash; empty: the default one."""
    hosts: Annotated[list[str], Meta(min_length=1, max_length=1000)] | None = None
    """Null: every host that lives."""
    wait_seconds: Annotated[float, Meta(gt=0, le=600)] = 60.0
    """How long to wait for all of them."""


class SourceView(View, frozen=True):
    """Source of one version."""

    hash: str
    source: str


class Dependents(View, frozen=True):
    """What depends on a document: some of it by id, and how many there are."""

    collection: str
    """functions | jobs | namespaces"""
    total: int
    at_least: bool = False
    """Whether there may be more than `total`: not all was looked at."""
    ids: list[str] = []


class Written(View, frozen=True, rename={"id": "_id"}, omit_defaults=True):
    """What a write of an admin collection answers with."""

    operation: str
    """create | update | replace | delete"""
    id: str
    revision: int
    version: str = ""
    """Functions only: the version that the write made or chose."""
    dry_run: bool = False
    """Nothing was written: this is what would be."""
    changes: dict[str, Any] = {}
    """Dry run only: field -> [before, after]; a secret as ***"""
    dependents: list[Dependents] = []
    """Of a removal: what depends on the document."""


class CollectionView(View, frozen=True):
    """How an admin collection is written and listed: what a form needs, and what a list offers."""

    name: str
    one: str
    """What a document of it is called."""
    fields: list[Parameter]
    """In the form of a function's parameters, so that one kind of form serves both; `_id` is the first."""
    filters: list[str]
    sorts: list[str]


class CollectionList(View, frozen=True):
    """GET /admin/schema."""

    items: list[CollectionView]
