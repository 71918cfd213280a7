"""What the server says of its signatures."""

from dts_core.views.base import View


class SigningView(View, frozen=True):
    """GET /admin/signing: the key of the server that answers."""

    key: str = ""
    """Its id, as signatures name it; empty: the server signs nothing."""
    public: str = ""
    """Its public half, as workers take it."""


class SigningReport(View, frozen=True):
    """POST /admin/signing/resign."""

    key: str
    functions: int = 0
    """In how many functions something was signed."""
    signed: int = 0
    """How many versions were."""
    refused: list[str] = []
    """`namespace/name hash` of versions whose signature is not for them; they were left as they are."""
