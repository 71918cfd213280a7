"""The one place that knows MongoDB's driver.

Motor runs PyMongo in threads. PyMongo's own asynchronous client has nearly the same interface and is meant to take its
place here; nothing outside this file would change.
"""

import asyncio
import functools
import os
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar
from urllib.parse import unquote

# Motor reads it once, at import: as many threads as the default pool has connections, and some to wait.
os.environ.setdefault("MOTOR_MAX_WORKERS", "32")

from motor.motor_asyncio import (
    AsyncIOMotorClient,
    AsyncIOMotorCollection,
    AsyncIOMotorDatabase,
)
from pymongo import (
    ASCENDING,
    DESCENDING,
    DeleteMany,
    IndexModel,
    ReadPreference,
    ReplaceOne,
    ReturnDocument,
    UpdateMany,
    UpdateOne,
    WriteConcern,
)
from pymongo import timeout as driver_timeout
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.uri_parser import parse_uri

from dts_core.deadline import time_left
from dts_core.errors import ConfigError, StoreError, StoreUnavailable
from dts_core.settings import StoreSettings, masked

__all__ = [
    "ASCENDING",
    "DESCENDING",
    "VERSION",
    "BulkWriteError",
    "Client",
    "Collection",
    "Database",
    "DeleteMany",
    "Doc",
    "DuplicateKeyError",
    "IndexModel",
    "OperationFailure",
    "PyMongoError",
    "ReplaceOne",
    "ReturnDocument",
    "UpdateMany",
    "UpdateOne",
    "answering",
    "connect",
    "deadlined",
    "disconnect",
    "light",
    "only_duplicates",
    "unavailable",
    "upsert",
]

Doc = dict[str, Any]
VERSION: Final = 1
"""Of the shape of documents, kept in each as `v`. A newer one may add fields, which are left alone."""
Client = AsyncIOMotorClient[Doc]
Database = AsyncIOMotorDatabase[Doc]
Collection = AsyncIOMotorCollection[Doc]
P = ParamSpec("P")
T = TypeVar("T")
DUPLICATE: Final = 11000
_AUTHENTICATION_FAILED: Final = 18
_UNAUTHORIZED: Final = 13
_UPSERTS: Final = 5
_LEAST_SECONDS: Final = 0.001
"""The driver takes 0 for no bound at all."""


class Deadlined(Protocol):
    """Whatever has a deadline for its calls, and counts those that failed."""

    deadline_seconds: float
    failures: int


S = TypeVar("S", bound=Deadlined)


def deadlined(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Let a call of a store end within its deadline, whatever the server does, and speak of errors of ours.

    Raises:
        StoreUnavailable: It passed, or there is no server; the outcome of a write is unknown.
    """

    @functools.wraps(method)
    async def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        async with answering(self, self.deadline_seconds):
            return await method(self, *args, **kwargs)

    return call


@asynccontextmanager
async def answering(store: Deadlined, seconds: float) -> AsyncIterator[None]:
    """Give everything inside so long, all together, and no longer than whoever asked waits; see `deadlined`."""
    seconds = time_left(seconds)
    try:
        # The first bounds what goes on in the driver's threads, the second our own waiting for them.
        with driver_timeout(max(seconds, _LEAST_SECONDS)):
            async with asyncio.timeout(seconds):
                yield
    except TimeoutError:
        store.failures += 1
        raise StoreUnavailable(
            f"MongoDB did not answer within {seconds:.2g} s.", advice=_AWAY
        ) from None
    except PyMongoError as error:
        store.failures += 1
        raise unavailable(error) from error


_AWAY: Final = "It is tried again by itself; see `dts status`."


def unavailable(error: PyMongoError) -> StoreError:
    """What the driver raised, as an error of ours, for people."""
    if isinstance(error, DocumentTooLarge):
        return StoreError(f"a document is larger than MongoDB takes: {error}")
    if isinstance(error, WTimeoutError):
        return StoreUnavailable(
            "a majority of the replica set did not confirm a write in time.",
            advice="Check that most of its members are up.",
        )
    if isinstance(error, OperationFailure):
        if error.code == _AUTHENTICATION_FAILED:
            return StoreUnavailable(
                "MongoDB refuses the user or the password.", advice="Check store.url."
            )
        if error.code == _UNAUTHORIZED:
            return StoreUnavailable(
                f"MongoDB's user may not do this: {_line(error)}",
                advice="Grant it readWrite on the database.",
            )
        if not isinstance(error, ExecutionTimeout) and not error.timeout:
            return StoreError(f"MongoDB refuses: {_line(error)}")
    return StoreUnavailable(f"MongoDB does not answer: {_line(error)}", advice=_AWAY)


def _line(error: PyMongoError) -> str:
    return str(error).split(", full error", 1)[0].split(", Topology Description", 1)[0][:300]


def only_duplicates(error: BulkWriteError) -> list[int]:
    """The indexes of what was there already.

    Raises:
        BulkWriteError: The error itself, when something else went wrong too.
    """
    details: Mapping[str, Any] = error.details or {}
    failed = details.get("writeErrors", [])
    if details.get("writeConcernErrors") or any(each["code"] != DUPLICATE for each in failed):
        raise error
    return [each["index"] for each in failed]


async def upsert(
    collection: Collection, writes: Sequence[UpdateOne | ReplaceOne[Doc] | DeleteMany]
) -> None:
    """Write what makes or changes documents by their ids, in any order.

    Of two that make the same document at once one may be refused: it finds the other's when it is tried again.
    """
    left = list(writes)
    for _ in range(_UPSERTS):
        if not left:
            return
        try:
            await collection.bulk_write(left, ordered=False)
        except BulkWriteError as error:
            left = [left[at] for at in only_duplicates(error)]
        else:
            return
    raise StoreUnavailable("too many others make the same documents.", advice=_AWAY)


def connect(settings: StoreSettings) -> tuple[Client, Database]:
    """A client with bounds on everything, and the database that the URL names; nothing is sent yet.

    Raises:
        ConfigError: The URL is no MongoDB's, or names no database.
    """
    try:
        parsed = parse_uri(settings.url, connect_timeout=settings.deadline_seconds)
    except (PyMongoError, ValueError) as error:
        raise _unfit(settings.url, error) from None
    name = parsed["database"]
    if not name:
        raise ConfigError(
            f"{masked(settings.url)} names no database.",
            key="store.url",
            advice="Put its name at the end: mongodb://HOST/dts.",
        )
    milliseconds = int(settings.deadline_seconds * 1000)
    try:
        client: Client = AsyncIOMotorClient(
            settings.url,
            appname="dts",
            maxPoolSize=settings.pool,
            timeoutMS=milliseconds,
            serverSelectionTimeoutMS=milliseconds,
            connectTimeoutMS=milliseconds,
            retryWrites=not settings.allow_standalone,
            **_tls(settings),
        )
    except (PyMongoError, ConfigurationError, OSError) as error:
        raise _unfit(settings.url, error) from None
    database: Database = client.get_database(
        unquote(name),
        read_preference=ReadPreference.PRIMARY,
        read_concern=ReadConcern("majority"),
        write_concern=WriteConcern(w="majority", j=True),
    )
    return client, database


def _unfit(url: str, error: Exception) -> ConfigError:
    """Why a URL cannot be used. The driver quotes what it takes for a port or a name: perhaps half a password."""
    if "@" in url and not _CLEAR.fullmatch(url):
        return ConfigError(
            f"{masked(url)}: its user or password holds a character that has to be encoded.",
            key="store.url",
            advice="Write / as %2F, @ as %40, : as %3A, % as %25.",
        )
    if "SSL" in str(error) or isinstance(error, OSError):
        return ConfigError(
            f"the files cannot be used: {error}.",
            key="store.tls",
            advice="PEM files: ca_file; cert_file with certificate and key, without a password.",
        )
    return ConfigError(f"{masked(url)}: {error}", key="store.url")


_CLEAR: Final = re.compile(r"[a-z+]+://[^/?#@:]*(:[^/?#@:]*)?@[^@]*")
"""A URL whose user and password cannot be taken for anything else."""


async def disconnect(client: Client) -> None:
    """Close the connections. In a thread: the driver says goodbye to a server that may not answer."""
    await asyncio.to_thread(client.close)


def light(collection: Collection) -> Collection:
    """The same for what is worth little: confirmed by one member, and read as it stands there."""
    return collection.with_options(
        read_concern=ReadConcern("local"), write_concern=WriteConcern(w=1)
    )


def _tls(settings: StoreSettings) -> dict[str, Any]:
    tls = settings.tls
    if tls.key_file and tls.key_file != tls.cert_file:
        raise ConfigError(
            "MongoDB's driver wants certificate and key in one file.",
            key="store.tls.key_file",
            advice="Put both into cert_file and leave key_file empty.",
        )
    given = {"tlsCAFile": tls.ca_file, "tlsCertificateKeyFile": tls.cert_file}
    return {name: str(Path(value).expanduser()) for name, value in given.items() if value}
