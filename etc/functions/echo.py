"""Gives back what it was given."""

from typing import Any


async def main(value: Any = None) -> Any:
    """Return the value unchanged, to see what a round trip costs and keeps.

    Args:
        value: Anything that JSON can say.
    """
    return value
