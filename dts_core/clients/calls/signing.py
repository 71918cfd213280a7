"""Signatures of functions."""

from dts_core.clients.describe import Request, get, write
from dts_core.views import SigningReport, SigningView


def signing() -> Request[SigningView]:
    """The public half of the key that the server signs functions with."""
    return get("/admin/signing", SigningView)


def resign() -> Request[SigningReport]:
    """Have every stored version of every function signed again with the server's key."""
    return write("POST", "/admin/signing/resign", SigningReport)
