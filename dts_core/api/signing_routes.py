"""Routes of signatures."""

from dts_core.api.endpoint import Call, NoQuery, Permission, Routes
from dts_core.views import SigningReport, SigningView

routes = Routes()


@routes.add("GET", "/admin/signing", Permission.ADMIN, answer=SigningView)
async def show_signing(call: Call[NoQuery, None]) -> SigningView:
    """The public half of the key that the server signs functions with."""
    return call.services.signing.show()


@routes.add("POST", "/admin/signing/resign", Permission.ADMIN, answer=SigningReport)
async def resign(call: Call[NoQuery, None]) -> SigningReport:
    """Sign every stored version of every function again with the server's key."""
    return await call.services.signing.resign(call.caller)
