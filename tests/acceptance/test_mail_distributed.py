"""Mail on RabbitMQ and MongoDB: a heartbeat in, the daemons killed while they mail, a mail server at the end."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from dts_core import codec
from dts_core.brokers.base import HEARTBEATS, Message, Outgoing
from dts_core.brokers.rabbitmq.broker import RabbitmqBroker
from dts_core.clients import SyncAdminClient
from dts_core.clock import SystemClock
from dts_core.model import Disk
from dts_core.services.mail import FUNCTION
from dts_core.states import FINAL
from dts_core.testing import wait_until
from tests.support.beats import make_beat
from tests.support.distributed import DAEMONS, Distributed, distributed
from tests.support.mail import Sink
from tests.support.mongodb import MongoAddress
from tests.support.processes import Running
from tests.support.rabbitmq import RabbitNode

SECONDS = 90.0
INTERVAL_SECONDS = 600.0
"""Of the host's heartbeats: it does not count as lost while nobody hears it."""
PACE_SECONDS = 0.2
"""Between two heartbeats, so that nobody has thousands to read after a start."""
OPENED = "[dts] critical: disk:/ on alpha"
OVER = "[dts] over: disk:/ on alpha"
pytestmark = [pytest.mark.external("rabbitmq"), pytest.mark.slow]


class SlowSink(Sink):
    """Takes its time over a message when it is told to, as long as nobody kills who sends it."""

    is_slow = False
    waiting = 0
    """Messages that somebody began to hand over, and that were not taken."""

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """See aiosmtpd; its session ends this with the connection."""
        if self.is_slow:
            self.waiting += 1
            await asyncio.Event().wait()
        return await super().handle_RCPT(server, session, envelope, address, options)


class Road:
    """The engine with one host that a test speaks for."""

    def __init__(self, engine: Distributed, broker: RabbitmqBroker, sink: SlowSink) -> None:
        self._engine = engine
        self._broker = broker
        self._sink = sink
        self._sequence = 0
        self._daemon: Running

    async def start(self) -> None:
        """All daemons, in one process."""
        smtp = self._sink.smtp
        self._daemon = await asyncio.to_thread(
            self._engine.daemon,
            DAEMONS,
            DTS_NOTIFY_SMTP_HOST=smtp.host,
            DTS_NOTIFY_SMTP_PORT=str(smtp.port),
            DTS_NOTIFY_SMTP_SECURITY=smtp.security,
            DTS_NOTIFY_SMTP_SENDER=smtp.sender,
            DTS_CONSUMER_STETHOSCOPE_CLEAR_SECONDS="0.2",
        )

    async def beat(self, used: int) -> None:
        """A heartbeat whose disk is so full, in percent."""
        self._sequence += 1
        beat = make_beat(
            sequence=self._sequence,
            at=SystemClock().now(),
            interval_seconds=INTERVAL_SECONDS,
            disks=[Disk(mount="/", total=100, used=used)],
        )
        message = Message(codec.encode(beat), type="Heartbeat")
        await self._broker.publish([Outgoing(HEARTBEATS, message)])

    async def kill_while_it_mails(self, used: int) -> None:
        """Beat until a mail is on its way, then kill -9, with beats that nobody heard left in the queue."""
        self._sink.is_slow, self._sink.waiting = True, 0

        async def is_on_its_way() -> bool:
            await self.beat(used)
            await asyncio.sleep(PACE_SECONDS)
            return self._sink.waiting == 1

        await wait_until(is_on_its_way, SECONDS)
        await asyncio.to_thread(self._daemon.kill)
        self._engine.running.remove(self._daemon)
        await self.beat(used)
        self._sink.is_slow = False
        await self.start()


@pytest.fixture
def engine(tmp_path: Path, rabbit: RabbitNode, mongodb: MongoAddress) -> Iterator[Distributed]:
    """A server, without daemons; whatever runs at the end stops cleanly."""
    url = rabbit.vhost()
    with distributed(tmp_path, url, mongodb.fresh()) as started:
        started.server()
        yield started
        started.check()
        assert set(started.stop()) == {0}, started.said()
    rabbit.drop(url)


def all_over(client: SyncAdminClient) -> bool:
    """Whether no mail is left to do."""
    return all(job.state in FINAL for job in client.jobs(function=FUNCTION).items)


async def test_an_alarm_and_its_end_are_mailed_once_each_over_kill_9(
    tmp_path: Path, engine: Distributed
) -> None:
    """From stethoscope to mail server: killed while each mail is handed over, neither is lost or doubled."""
    broker = await RabbitmqBroker.connect(engine.amqp)
    try:
        async with SlowSink(tmp_path) as sink:
            road = Road(engine, broker, sink)
            await road.start()
            with await asyncio.to_thread(engine.client, workers=0) as client:
                await asyncio.to_thread(client.users.update, "admin", address="root@example.org")
                await road.kill_while_it_mails(99)
                await wait_until(lambda: sink.subjects == [OPENED], SECONDS)
                await road.kill_while_it_mails(10)
                await wait_until(lambda: len(sink.taken) == 2, SECONDS)
                # Whatever was to be mailed twice stands before this one, or is a job that is not over.
                tested = await asyncio.to_thread(client.mail.test)
                await wait_until(lambda: len(sink.taken) == 3, SECONDS)
                await wait_until(lambda: asyncio.to_thread(all_over, client), SECONDS)
                jobs = (await asyncio.to_thread(client.jobs, function=FUNCTION)).items
            assert sink.subjects == [OPENED, OVER, "[dts] test"]
            assert {tuple(each.to) for each in sink.taken} == {("root@example.org",)}
            assert [job.state for job in jobs] == ["done"] * 3
            # Each was with the daemon that was killed, and is counted as lost with it.
            assert {job.id: job.losses for job in jobs}.pop(tested.job) == 0
            assert sorted(job.losses for job in jobs) == [0, 1, 1]
    finally:
        await broker.close()
