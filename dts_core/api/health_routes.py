"""Routes for machines: health, figures, the description of the interface."""

import msgspec
from litestar.response.base import ASGIResponse

from dts_core.api.endpoint import JSON, Call, NoQuery, Permission, Routes
from dts_core.api.metrics import TEXT, collect

routes = Routes()


class Health(msgspec.Struct, frozen=True):
    """`status`: up or down; `parts`: each part, up or down."""

    status: str
    parts: dict[str, str] = {}


@routes.add("GET", "/health/live", Permission.PUBLIC, answer=Health)
async def get_live(call: Call[NoQuery, None]) -> Health:
    """Whether the process answers at all."""
    return Health(status="up")


@routes.add("GET", "/health/ready", Permission.PUBLIC, answer=Health, also={503: Health})
async def get_ready(call: Call[NoQuery, None]) -> ASGIResponse:
    """Whether the store and the broker answer too; 503 when one does not."""
    told = await call.services.status.probe()
    parts = {name: "up" if state == "up" else "down" for name, state in told.items()}
    up = all(state == "up" for state in parts.values())
    return ASGIResponse(
        body=msgspec.json.encode(Health(status="up" if up else "down", parts=parts)),
        media_type=JSON,
        status_code=200 if up else 503,
    )


@routes.add("GET", "/metrics", Permission.READ, media_type=TEXT)
async def get_metrics(call: Call[NoQuery, None]) -> ASGIResponse:
    """Figures over all namespaces in the format of Prometheus, for administrators and their tokens of any scope."""
    return ASGIResponse(body=await collect(call.services, call.caller), media_type=TEXT)
