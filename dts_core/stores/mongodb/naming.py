"""What documents of all collections are called in the one that holds them."""

__all__ = ["LAST", "name_of"]

LAST = "\U0010ffff"
"""Behind every character of an id."""


def name_of(collection: str, doc_id: str) -> str:
    """The `_id` of a document."""
    return f"{collection}/{doc_id}"
