"""Every error that dts raises on purpose.

    DtsError
    ├── ConfigError             a configuration file or variable is wrong
    ├── CodecError              bytes that are not a message of ours
    ├── InvalidInput            a request whose content is wrong, field by field
    ├── TooLarge                more bytes than the limit allows
    ├── Unauthenticated         no token, or one that does not count (any more)
    ├── Forbidden               known, but not allowed
    ├── Throttled               too many tries, come back later
    ├── FunctionRefused         source that does not load or has no `main`
    ├── BrokerError
    │   ├── BrokerUnavailable   no connection, or a deadline passed; nothing is known of the outcome
    │   ├── QueueNotFound       never declared
    │   ├── DeliveryLost        the delivery no longer belongs to this link
    │   └── ResultRefused       a result for a claim that this link does not hold
    ├── StoreError
    │   ├── StoreUnavailable    the store cannot answer now
    │   ├── NotFound            no such document
    │   ├── Conflict            a stale revision, or an id that exists
    │   ├── SchemaMismatch      the data folder was written by another version
    │   └── AlreadyOwned        another process owns the data folder
    └── ApiError                what a client raises: the server's answer was a refusal
        └── ServerUnreachable   no answer at all

Classes are split where a caller acts differently. Each class knows the HTTP status it becomes and the advice for the
person who meets it; both can be overridden per instance.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar


class DtsError(Exception):
    """Root of all errors raised on purpose; `str(error)` is one line for people.

    Args:
        message: What happened, to what.
        advice: What to do about it; empty when the class's own advice fits.
    """

    status: ClassVar[int] = 500
    """HTTP status the API answers with."""
    code: ClassVar[str] = "error"
    """Stable machine-readable name, part of the HTTP interface."""
    default_advice: ClassVar[str] = ""

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice or self.default_advice

    def __str__(self) -> str:
        return f"{self.message} {self.advice}".strip() if self.advice else self.message


class ConfigError(DtsError):
    """A setting is wrong; names the file, the key and what was expected."""

    code = "config"

    def __init__(self, message: str, *, file: str = "", key: str = "", advice: str = "") -> None:
        where = ": ".join(part for part in (file, key) if part)
        super().__init__(f"{where}: {message}" if where else message, advice=advice)
        self.file = file
        self.key = key


class CodecError(DtsError):
    """Bytes that cannot be decoded as the message that was expected."""

    status = 400
    code = "undecodable"


class InvalidInput(DtsError):
    """Input that does not fit; `fields` maps each wrong field to its reason."""

    status = 422
    code = "invalid"

    def __init__(
        self, message: str, *, fields: Mapping[str, str] | None = None, advice: str = ""
    ) -> None:
        super().__init__(message, advice=advice)
        self.fields = dict(fields or {})


class TooLarge(DtsError):
    """More bytes than the limit allows."""

    status = 413
    code = "too_large"


class Unauthenticated(DtsError):
    """No token, an unknown one, or one that has expired."""

    status = 401
    code = "unauthenticated"
    default_advice = "Log in again with `dts login`."


class Forbidden(DtsError):
    """The user is known and lacks a permission."""

    status = 403
    code = "forbidden"


class Throttled(DtsError):
    """Too many tries; `retry_after_seconds` says when the next one counts."""

    status = 429
    code = "throttled"

    def __init__(self, message: str, *, retry_after_seconds: float, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.retry_after_seconds = retry_after_seconds


class FunctionRefused(DtsError):
    """Source that does not parse, does not import, or has no `main`."""

    status = 422
    code = "function_refused"


class BrokerError(DtsError):
    """Anything that went wrong between us and the broker."""

    status = 503
    code = "broker"


class BrokerUnavailable(BrokerError):
    """No connection, or a deadline passed: the outcome of the call is unknown."""

    code = "broker_unavailable"
    default_advice = "It is tried again by itself; see `dts status`."


class QueueNotFound(BrokerError):
    """The queue was never declared."""

    status = 404
    code = "queue_not_found"


class DeliveryLost(BrokerError):
    """The delivery no longer belongs to this link; it has been, or will be, handed to another."""

    status = 409
    code = "delivery_lost"


class ResultRefused(BrokerError):
    """A result was published for a claim that this link does not hold; `refused` lists the (job id, epoch)."""

    status = 409
    code = "result_refused"

    def __init__(
        self, message: str, *, refused: Sequence[tuple[str, int]] = (), advice: str = ""
    ) -> None:
        super().__init__(message, advice=advice)
        self.refused = list(refused)


class StoreError(DtsError):
    """Anything that went wrong between us and the store."""

    status = 503
    code = "store"


class StoreUnavailable(StoreError):
    """The store cannot answer now."""

    code = "store_unavailable"


class NotFound(StoreError):
    """No such document, or none that this user may see."""

    status = 404
    code = "not_found"


class Conflict(StoreError):
    """The write met another one: a stale revision, or an id that exists already."""

    status = 409
    code = "conflict"


class SchemaMismatch(StoreError):
    """The data folder was written by a version whose schema this one does not read."""

    code = "schema_mismatch"


class AlreadyOwned(StoreError):
    """Another process owns the data folder."""

    code = "already_owned"


class ApiError(DtsError):
    """What a client raises when the server refuses.

    Args:
        message: The problem's detail, already sanitised.
        answer_status: The HTTP status of the answer; 0 when there was none.
        answer_code: The problem's stable code.
        fields: Each wrong field with its reason, when the server named any.
    """

    code = "api"

    def __init__(
        self,
        message: str,
        *,
        answer_status: int = 0,
        answer_code: str = "",
        fields: Mapping[str, str] | None = None,
        advice: str = "",
    ) -> None:
        super().__init__(message, advice=advice)
        self.answer_status = answer_status
        self.answer_code = answer_code
        self.fields = dict(fields or {})


class ServerUnreachable(ApiError):
    """No answer at all: refused, timed out, or cut."""

    code = "server_unreachable"
