"""Routes of functions."""

import hashlib
from typing import Any

import msgspec

from dts_core.api.decoding import idempotency_key
from dts_core.api.endpoint import Call, NoQuery, Permission, Routes
from dts_core.api.resource_routes import Mount, mount
from dts_core.services.functions import FUNCTIONS
from dts_core.views import DeployRequest, FunctionOutcomes, JobView, SourceView, job_view

routes = Routes()
ONE = "/admin/functions/{namespace}/{name}"


class VersionQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which version; empty is the default one."""

    version: str = ""


def _function(call: Call[Any, Any]) -> str:
    return f"{call.path('namespace')}/{call.path('name')}"


mount(
    routes,
    Mount(
        collection=FUNCTIONS,
        service=lambda call: call.services.functions,
        parts=("namespace", "name"),
        read=Permission.READ,
        write=Permission.SUBMIT,
        more=(("namespace", str, ""),),
        prefix=lambda query: (
            f"{query.namespace}/{query.prefix}" if query.namespace else str(query.prefix)
        ),
    ),
)


@routes.add("GET", f"{ONE}/source", Permission.READ, query=VersionQuery, answer=SourceView)
async def get_source(call: Call[VersionQuery, None]) -> SourceView:
    """Source of a version."""
    return await call.services.functions.source(
        call.caller, _function(call), version=call.query.version
    )


@routes.add("GET", f"{ONE}/outcomes", Permission.READ, answer=FunctionOutcomes)
async def get_outcomes(call: Call[NoQuery, None]) -> FunctionOutcomes:
    """What became of a function's newest jobs, by the version that they run."""
    return await call.services.functions.outcomes(call.caller, _function(call))


@routes.add(
    "POST", f"{ONE}/deploy", Permission.SUBMIT, body=DeployRequest, answer=JobView, status=201
)
async def deploy_function(call: Call[NoQuery, DeployRequest]) -> JobView:
    """Have a version ready on every live worker, or on some hosts, by a job whose result says where it is.

    The header Idempotency-Key makes it safe to send the same request again.
    """
    asked = f"{_function(call)}\0".encode() + msgspec.json.encode(call.body)
    job = await call.services.deploys.start(
        call.caller,
        _function(call),
        call.body,
        key=idempotency_key(call.request),
        digest=hashlib.sha256(asked).digest(),
    )
    return job_view(job)
