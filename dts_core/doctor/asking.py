"""What the control side says of the keys that its servers use, asked as a worker asks it."""

import asyncio
from typing import Final

from dts_core import codec
from dts_core.brokers.base import REQUESTS, Message
from dts_core.errors import BrokerUnavailable
from dts_core.model import SourceReply, SourceRequest
from dts_core.names import new_id
from dts_core.settings import WorkerFile

__all__ = ["keys_of_servers"]

ASK_SECONDS: Final = 5.0


async def keys_of_servers(settings: WorkerFile) -> SourceReply:
    """The keys that servers sign with and seal to now, by RabbitMQ.

    Raises:
        BrokerError: The control side did not answer.
        CodecError: The answer cannot be read.
    """
    from dts_core.brokers.rabbitmq.broker import RabbitmqBroker
    from dts_core.hosting.hostname import host_name

    host = host_name(settings.worker.host)
    broker = RabbitmqBroker(
        settings.broker.url,
        host=host,
        worker=f"doctor-{new_id()}",
        role="worker",
        settings=settings.broker.rabbitmq,
        names=settings.broker.mq,
        tls=settings.broker.tls,
    )
    question = Message(body=codec.encode(SourceRequest("")), type="SourceRequest")
    try:
        async with asyncio.timeout(2 * ASK_SECONDS):
            await broker.start()
            answer = await broker.request(REQUESTS, question, timeout_seconds=ASK_SECONDS)
        return codec.decode(answer.body, SourceReply)
    except TimeoutError as error:
        raise BrokerUnavailable("the broker does not answer.") from error
    finally:
        await broker.close()
