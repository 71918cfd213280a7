"""Every error that dts raises on purpose.

    DtsError
    ├── ConfigError             a configuration file or variable is wrong
    ├── CodecError              bytes that are not a message of ours
    ├── InvalidInput            a request whose content is wrong, field by field
    │   └── FunctionRefused     source that does not load or has no `main`
    ├── TooLarge                more bytes than the limit allows
    ├── Unauthenticated         no token, or one that does not count (any more)
    ├── Forbidden               known, but not allowed
    ├── Throttled               too many tries, come back later
    ├── VaultError              secrets cannot be sealed or opened
    │   ├── KeyMissing          no key file, or the key that a secret is sealed with is not in it
    │   └── SealBroken          a sealed secret was altered, or moved from where it belongs
    ├── BrokerError
    │   ├── BrokerUnavailable   no connection, or a deadline passed; nothing is known of the outcome
    │   │   └── LoginRefused    the broker is there, and does not take our user or password
    │   ├── QueueNotFound       never declared
    │   └── ResultRefused       a result for a claim that this link does not hold
    ├── StoreError
    │   ├── StoreUnavailable    the store cannot answer now
    │   ├── NotFound            no such document
    │   ├── Conflict            a stale revision, or an id that exists
    │   ├── SchemaMismatch      the data folder was written by another version
    │   └── AlreadyOwned        another process owns the data folder
    ├── RemoteError             a host reached by SSH; names the host and how far it came
    │   ├── HostUnreachable     no connection, or none that may be used; nothing was run there
    │   ├── HostKeyRejected     the host did not prove that it is the one that is meant
    │   │   ├── HostKeyUnknown  nothing is pinned: a person has to confirm the fingerprint
    │   │   └── HostKeyChanged  it shows another key than the pinned one
    │   ├── LoginDenied         the host does not take our user, key, password or answers
    │   ├── SessionLost         the connection ended while something ran there
    │   ├── InterpreterUnfit    no Python there that can run functions
    │   │   └── PackagesGone    what a function imports was taken away there; nothing was run
    │   ├── SetupFailed         a step of its set-up could not be done; what was done before stays, and is known
    │   └── CommandTimedOut     it took longer than it was given
    └── ApiError                what a client raises: the server's answer was a refusal
        └── ServerUnreachable   no answer at all

Classes are split where a caller acts differently. Each class knows the HTTP status it becomes and the advice for the
person who meets it; both can be overridden per instance.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


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


class FunctionRefused(InvalidInput):
    """Source that does not parse, does not import, or has no `main`."""

    code = "function_refused"


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


class VaultError(DtsError):
    """A secret cannot be sealed or opened; no text of the secret is in it."""

    code = "vault"


class KeyMissing(VaultError):
    """There is no key file, or the key that a secret is sealed with is not in it."""

    code = "vault_key_missing"


class SealBroken(VaultError):
    """A sealed secret was altered, or stands where it was not sealed for."""

    code = "vault_seal_broken"
    default_advice = "Store the secret again; find out who wrote into the store."


class BrokerError(DtsError):
    """Anything that went wrong between us and the broker."""

    status = 503
    code = "broker"


class BrokerUnavailable(BrokerError):
    """No connection, or a deadline passed: the outcome of the call is unknown."""

    code = "broker_unavailable"
    default_advice = "It is tried again by itself; see `dts status`."


class LoginRefused(BrokerUnavailable):
    """The broker does not take our user or password; trying again soon does not help."""

    default_advice = "Check the user and the password in [broker] url."


class QueueNotFound(BrokerError):
    """The queue was never declared."""

    status = 404
    code = "queue_not_found"


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
    """The write met another one: a stale revision, or an id that exists already; or others depend on the document.

    Args:
        message: What happened, to what.
        advice: What to do about it.
        told: More of it for programs: `current`, `sent` and `differ` of a stale write, `dependents` of a removal.
    """

    status = 409
    code = "conflict"

    def __init__(
        self, message: str, *, advice: str = "", told: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, advice=advice)
        self.told = dict(told or {})


class SchemaMismatch(StoreError):
    """The data folder was written by a version whose schema this one does not read."""

    code = "schema_mismatch"


class AlreadyOwned(StoreError):
    """Another process owns the data folder."""

    code = "already_owned"


class RemoteError(DtsError):
    """Anything that went wrong between us and a host reached by SSH.

    Args:
        message: What happened.
        host: The virtual host's id.
        stage: How far it came: connect, exchange, hostkey, login, session, python or run.
        is_retryable: Whether nothing was done there, and the same may succeed soon.
    """

    status = 502
    code = "remote"
    default_stage: ClassVar[str] = "run"

    def __init__(
        self,
        message: str,
        *,
        host: str = "",
        stage: str = "",
        is_retryable: bool = False,
        advice: str = "",
    ) -> None:
        super().__init__(f"{host}: {message}" if host else message, advice=advice)
        self.host = host
        self.stage = stage or self.default_stage
        self.is_retryable = is_retryable


class HostUnreachable(RemoteError):
    """No connection to the host, or none that is safe to use; nothing was run there."""

    code = "host_unreachable"
    default_stage = "connect"


class HostKeyRejected(RemoteError):
    """The host did not prove that it is the one that is meant; no login was tried.

    Args:
        message: What happened.
        host: The virtual host's id.
        shown: The key that it showed, `TYPE BASE64`; of a certificate, the key of its authority.
        fingerprint: Of that key, `SHA256:...`.
    """

    code = "host_key_rejected"
    default_stage = "hostkey"

    def __init__(
        self, message: str, *, host: str = "", shown: str = "", fingerprint: str = "",
        advice: str = "",
    ) -> None:  # fmt: skip
        super().__init__(message, host=host, advice=advice)
        self.shown = shown
        self.fingerprint = fingerprint


class HostKeyUnknown(HostKeyRejected):
    """Nothing is pinned for the host: a person compares the fingerprint and pins the key."""

    code = "host_key_unknown"
    default_advice = "Compare the fingerprint over another way, then pin the key."


class HostKeyChanged(HostKeyRejected):
    """The host shows another key than the pinned one: it was set up anew, or somebody stands in between."""

    code = "host_key_changed"
    default_advice = (
        "Find out why before anything else; only then remove the pinned key and pin the new one."
    )


class LoginDenied(RemoteError):
    """The host does not take our user, key, password or answers; trying again may lock the account."""

    code = "login_denied"
    default_stage = "login"


class SessionLost(RemoteError):
    """The connection ended while something ran there: whether it did its work is not known."""

    code = "session_lost"


class InterpreterUnfit(RemoteError):
    """The host has no Python that can run functions, or it answers something else."""

    code = "interpreter_unfit"
    default_stage = "python"
    default_advice = "Install Python 3.9 or newer there, or set the virtual host's `python`."


class PackagesGone(InterpreterUnfit):
    """What a function imports was taken away there since it was looked for; nothing was run."""

    code = "packages_gone"
    default_stage = "packages"
    default_advice = "Run it again there."


class SetupFailed(RemoteError):
    """A step of a host's set-up could not be done; the same again goes on where it stopped."""

    code = "setup_failed"
    default_stage = "setup"


class CommandTimedOut(RemoteError):
    """It took longer than it was given, and was ended there."""

    code = "command_timed_out"


class ApiError(DtsError):
    """What a client raises when the server refuses.

    Args:
        message: The problem's detail, already sanitised.
        answer_status: The HTTP status of the answer; 0 when there was none.
        answer_code: The problem's stable code.
        fields: Each wrong field with its reason, when the server named any.
        told: Of a conflict: `current`, `sent` and `differ` of a stale write, or `dependents`.
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
        told: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, advice=advice)
        self.told = dict(told or {})
        self.answer_status = answer_status
        self.answer_code = answer_code
        self.fields = dict(fields or {})


class ServerUnreachable(ApiError):
    """No answer at all: refused, timed out, or cut."""

    code = "server_unreachable"
