"""How whoever starts a job takes part in its logins, as a request says it."""

from collections.abc import Sequence
from typing import Any

__all__ = ["person_body"]


def person_body(ask: bool, own_keys: Sequence[str], user: str = "") -> dict[str, Any]:
    """Its fields; none where nobody takes part."""
    told: dict[str, Any] = {"ask": True} if ask else {}
    if own_keys:
        told["own_keys"] = list(own_keys)
    return told | ({"user": user} if user else {})
