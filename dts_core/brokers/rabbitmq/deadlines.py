"""The driver's errors become ours, and every await gets its deadline: one table and one context."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiormq import exceptions
from pamqp.exceptions import PAMQPException

from dts_core.deadline import time_left
from dts_core.errors import BrokerUnavailable, DtsError, Forbidden, LoginRefused, QueueNotFound

_NUMBER: Final = re.compile(r"^\[Errno -?\d+\] ")
DRIVER_ERRORS: Final = (
    exceptions.AMQPError,
    exceptions.ChannelInvalidStateError,
    PAMQPException,
    OSError,
    RuntimeError,  # a channel asked of a closed connection
)


def words_of(error: BaseException) -> str:
    """What an error says, without its number."""
    return _NUMBER.sub("", str(error))


def error_of(error: BaseException, what: str) -> DtsError:
    """What a driver's error is to our callers; the most specific first."""
    said = f"{what}: {words_of(error)}".strip().rstrip(".")
    match error:
        case DtsError():
            return error
        case exceptions.ChannelNotFoundEntity():
            return QueueNotFound(f"{said}.")
        case exceptions.ChannelAccessRefused():
            return Forbidden(f"{said}.")
        case exceptions.AuthenticationError() | exceptions.ProbableAuthenticationError():
            return LoginRefused(f"the broker refused the login ({error}).")
    return BrokerUnavailable(f"{said}.")


@asynccontextmanager
async def answered(what: str, seconds: float) -> AsyncIterator[None]:
    """Wait for the broker no longer than `seconds`, or than whoever asked; `what` names the act in the error.

    Raises:
        QueueNotFound: It answered so.
        Forbidden: It answered so.
        BrokerUnavailable: Any other refusal, a lost channel, or no answer in time.
    """
    task = asyncio.current_task()
    seconds = time_left(seconds)
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise BrokerUnavailable(
            f"{what}: RabbitMQ gave no answer within {seconds:.2g} s."
        ) from None
    except DRIVER_ERRORS as error:
        raise error_of(error, what) from error
    except asyncio.CancelledError as error:
        # The driver cancels those who wait on a channel that is lost.
        if task is not None and task.cancelling():
            raise
        raise BrokerUnavailable(f"{what}: the channel was lost.") from error
