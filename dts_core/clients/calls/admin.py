"""Functions, their source, and how they change."""

from collections.abc import Sequence
from typing import Any

from dts_core.clients.calls.documents import (
    add_document,
    delete_document,
    replace_document,
    update_document,
)
from dts_core.clients.describe import Request, get, write
from dts_core.names import new_id, split_function
from dts_core.views import (
    FunctionOutcomes,
    FunctionPage,
    FunctionView,
    JobView,
    SourceView,
    Written,
)


def function_path(function: str) -> str:
    """`/admin/functions/ns/name`. Raises InvalidInput when it is not namespace/name."""
    namespace, name = split_function(function)
    return f"/admin/functions/{namespace}/{name}"


def list_functions(
    *, namespace: str = "", prefix: str = "", cursor: str = "", limit: int = 500
) -> Request[FunctionPage]:
    """One page of functions by id."""
    query = {"namespace": namespace, "prefix": prefix, "cursor": cursor, "limit": limit}
    return get("/admin/functions", FunctionPage, query)


def get_function(function: str) -> Request[FunctionView]:
    """One function with its versions."""
    return get(function_path(function), FunctionView)


def function_source(function: str, *, version: str = "") -> Request[SourceView]:
    """Source of a version; the default one when none is named."""
    return get(f"{function_path(function)}/source", SourceView, {"version": version})


def function_outcomes(function: str) -> Request[FunctionOutcomes]:
    """What became of a function's newest jobs, by the version that they run."""
    return get(f"{function_path(function)}/outcomes", FunctionOutcomes)


def deploy_function(
    function: str,
    *,
    hosts: Sequence[str] | None = None,
    version: str = "",
    wait_seconds: float = 60.0,
) -> Request[JobView]:
    """Have a version ready on every live worker, or on these hosts; answers with the job, whose result says where.

    Args:
        function: namespace/name.
        hosts: Only these; None: every one that lives.
        version: Hash of the version; empty: the default one.
        wait_seconds: How long the job waits for all of them.
    """
    body = {"version": version, "hosts": hosts, "wait_seconds": wait_seconds}
    return write("POST", f"{function_path(function)}/deploy", JobView, body, key=new_id())


def add_function(
    function: str, source: str, *, note: str = "", dry_run: bool = False
) -> Request[Written]:
    """Create a function from its source."""
    return add_document("functions", function, source=source, note=note, dry_run=dry_run)


def update_function(
    function: str,
    *,
    revision: int,
    source: str | None = None,
    note: str = "",
    default: str | None = None,
    canary: str | None = None,
    canary_share: float | None = None,
    canary_hosts: Sequence[str] | None = None,
    dry_run: bool = False,
) -> Request[Written]:
    """Give a function a new version, choose its default one, or try one before. A stale `revision` is refused (409).

    Args:
        function: namespace/name.
        revision: The one that the change was made on.
        source: Of a new version, which becomes the default one; with `canary` "new" it is only tried.
        note: What it is for.
        default: Hash of the version that jobs take which name none; the canary's ends the trial.
        canary: Hash of the version to be tried; empty withdraws it.
        canary_share: Of the jobs, 0 to 1: those run it wherever they run.
        canary_hosts: They run it in place of the default one.
        dry_run: Only say what would be done.
    """
    body: dict[str, Any] = {"revision": revision}
    if source is not None:
        body |= {"source": source, "note": note}
    if default is not None:
        body["default"] = default
    tried = {"canary": canary, "canary_share": canary_share, "canary_hosts": canary_hosts}
    body |= {name: value for name, value in tried.items() if value is not None}
    return update_document("functions", function, dry_run=dry_run, **body)


def replace_function(
    function: str, *, revision: int, source: str, note: str = "", dry_run: bool = False
) -> Request[Written]:
    """Give a function its source, which becomes the default version. A stale `revision` is refused (409)."""
    return replace_document(
        "functions", function, revision=revision, source=source, note=note, dry_run=dry_run
    )


def delete_function(function: str, *, revision: int = 0, dry_run: bool = False) -> Request[Written]:
    """Remove a function; its jobs stay. The answer says which of them are not over."""
    return delete_document("functions", function, revision=revision, dry_run=dry_run)
