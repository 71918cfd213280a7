"""The admin collections, declared once: which fields a document has, of which type, with what help.

Validation, the description of the interface, forms and the clients' types are made from these.
"""

from datetime import datetime
from typing import Annotated, Final, Generic, Literal, Required, TypeAlias, TypedDict, TypeVar

from msgspec import Meta

from dts_core.views.base import View

D = TypeVar("D")

HIDDEN: Final = "hidden"
"""Key of a field's `extra`: it is taken and never shown."""
LINES: Final = "lines"
"""Key of a field's `extra`: a text of several lines."""
RoleName: TypeAlias = Literal["viewer", "submitter", "operator", "admin"]
SECRET_MIN: Final = 8
SECRET_MAX: Final = 1024
"""Shortest and longest secret of a user, in characters."""
NOTE_MAX: Final = 500
"""Longest note of a version, in characters."""
CANARY_HOSTS_MAX: Final = 100
"""Most hosts that a version is tried on: each job names them."""
DESCRIPTION_MAX: Final = 2000
"""Longest description of a namespace, in characters."""


class Document(TypedDict, total=False):
    """What every document has beside its own fields; a list with `fields` holds only those named."""

    _id: Required[Annotated[str, Meta(description="Given at creation; it never changes.")]]
    created_at: datetime
    updated_at: datetime
    revision: int


class UserShown(TypedDict, total=False):
    """Fields of a user that are shown."""

    role: Annotated[RoleName, Meta(description="What they may do everywhere.")]
    disabled: Annotated[bool, Meta(description="Whether they are kept out.")]
    address: Annotated[str, Meta(description="Where mail for them goes; empty: they get none.")]
    groups: Annotated[list[str], Meta(description="Groups whose mail they get.")]


class UserFields(UserShown, total=False):
    """Fields of a user that may be given."""

    secret: Annotated[
        str,
        Meta(
            description="What they log in with, at least 8 characters.",
            extra={HIDDEN: True},
            extra_json_schema={"minLength": SECRET_MIN, "maxLength": SECRET_MAX},
        ),
    ]


class UserDocument(Document, UserShown, total=False):
    """A user; the secret never leaves."""


class NamespaceFields(TypedDict, total=False):
    """Fields of a namespace."""

    description: Annotated[str, Meta(description="What it is for.", extra={LINES: True})]
    members: Annotated[
        dict[str, RoleName],
        Meta(description="User (or *, everybody) and the role they have there."),
    ]


class NamespaceDocument(Document, NamespaceFields, total=False):
    """A namespace with its members."""


class FunctionFields(TypedDict, total=False):
    """Fields of a function that may be given."""

    source: Annotated[str, Meta(description="A Python module with a `main`.", extra={LINES: True})]
    note: Annotated[str, Meta(description="What the version is for.", max_length=NOTE_MAX)]
    default: Annotated[
        str, Meta(description="Hash of the version that a job takes when it names none.")
    ]
    canary: Annotated[
        str,
        Meta(
            description="Hash of a version that is tried beside the default one; new: what the source given with it "
            "makes, which is not the default one then; empty: none.",
            max_length=64,
        ),
    ]
    canary_share: Annotated[
        float, Meta(description="Share of the jobs that run the canary, 0 to 1.", ge=0, le=1)
    ]
    canary_hosts: Annotated[
        list[str],
        Meta(description="Hosts that run the canary.", max_length=CANARY_HOSTS_MAX),
    ]


class DocumentPage(View, Generic[D], frozen=True):
    """One page of a collection; it may be short yet have a next."""

    items: list[D]
    next: str = ""
