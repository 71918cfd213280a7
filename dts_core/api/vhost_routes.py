"""Routes of virtual hosts and of the vault that holds their secrets."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from dts_core.api.decoding import idempotency_key
from dts_core.api.endpoint import Call, NoQuery, Permission, Routes
from dts_core.api.resource_routes import Mount, mount
from dts_core.model import Job
from dts_core.services.vhosts import VHOSTS
from dts_core.views import (
    JobView,
    RotateKeyRequest,
    RotateRequest,
    RotateView,
    SetupRequest,
    TeardownRequest,
    VaultView,
    Written,
    job_view,
)
from dts_core.views.vhosts import ForgetKeyRequest, ScanRequest, TrustRequest

Body = TypeVar("Body", SetupRequest, TeardownRequest, RotateKeyRequest)

routes = Routes()
mount(routes, Mount(collection=VHOSTS, service=lambda call: call.services.vhosts))


@routes.add(
    "POST",
    "/admin/vhosts/{id}/init",
    Permission.ADMIN,
    body=SetupRequest,
    answer=JobView,
    status=201,
)
async def init_vhost(call: Call[NoQuery, SetupRequest]) -> JobView:
    """Make a worker of a virtual host, and of others, by a job; with `dry_run` its result is the plan.

    The header Idempotency-Key makes it safe to send the same request again.
    """
    return await _started(call, "init", call.services.setups.init)


@routes.add(
    "POST",
    "/admin/vhosts/{id}/remove",
    Permission.ADMIN,
    body=TeardownRequest,
    answer=JobView,
    status=201,
)
async def tear_vhost_down(call: Call[NoQuery, TeardownRequest]) -> JobView:
    """Take away what `init` made on a virtual host, and on others, by a job; they themselves stay.

    The header Idempotency-Key makes it safe to send the same request again.
    """
    return await _started(call, "remove", call.services.setups.remove)


@routes.add(
    "POST",
    "/admin/vhosts/{id}/rotate",
    Permission.ADMIN,
    body=RotateKeyRequest,
    answer=JobView,
    status=201,
)
async def rotate_vhost_key(call: Call[NoQuery, RotateKeyRequest]) -> JobView:
    """Give a virtual host, and others, a new login key by a job; the old one is shut out once the new one is kept.

    The header Idempotency-Key makes it safe to send the same request again.
    """
    return await _started(call, "rotate", call.services.setups.rotate)


async def _started(
    call: Call[NoQuery, Body], what: str, start: Callable[..., Awaitable[Job]]
) -> JobView:
    """The job of `start`; an idempotency key stands for what was asked of which host."""
    vhost = call.path("id")
    digest = hashlib.sha256(f"{what}\0{vhost}\0".encode() + msgspec.json.encode(call.body)).digest()
    key = idempotency_key(call.request)
    return job_view(await start(call.caller, vhost, call.body, key=key, digest=digest))


@routes.add("GET", "/admin/vault", Permission.ADMIN, answer=VaultView)
async def get_vault(call: Call[NoQuery, None]) -> VaultView:
    """The vault's keys, by their ids, and how many secrets each is needed for."""
    return await call.services.vault.status()


@routes.add("POST", "/admin/vault/rotate", Permission.ADMIN, body=RotateRequest, answer=RotateView)
async def rotate_vault(call: Call[NoQuery, RotateRequest]) -> RotateView:
    """Seal a page of secrets with the newest key; the first page adds one."""
    return await call.services.vault.rotate(call.caller, call.body)


@routes.add(
    "POST", "/admin/vhosts/scan", Permission.ADMIN, body=ScanRequest, answer=JobView, status=201
)
async def scan_vhosts(call: Call[NoQuery, ScanRequest]) -> JobView:
    """Look at the keys that hosts show, by a job whose result has their fingerprints; nothing is shown to them.

    The header Idempotency-Key makes it safe to send the same request again.
    """
    job = await call.services.host_trust.scan(
        call.caller,
        call.body,
        key=idempotency_key(call.request),
        digest=hashlib.sha256(msgspec.json.encode(call.body)).digest(),
    )
    return job_view(job)


@routes.add("POST", "/admin/vhosts/{id}/trust", Permission.ADMIN, body=TrustRequest, answer=Written)
async def trust_vhost(call: Call[NoQuery, TrustRequest]) -> Written:
    """Pin the very key that a scan has seen and a person has compared."""
    asked = call.body
    return await call.services.host_trust.trust(
        call.caller, call.path("id"), asked.fingerprint, asked.scan
    )


@routes.add(
    "POST",
    "/admin/vhosts/{id}/forget-key",
    Permission.ADMIN,
    body=ForgetKeyRequest,
    answer=Written,
)
async def forget_vhost_key(call: Call[NoQuery, ForgetKeyRequest]) -> Written:
    """Remove what is pinned of a host, so that a new key can be confirmed."""
    return await call.services.host_trust.forget(call.caller, call.path("id"), call.body.reason)
