"""A look at RabbitMQ with the very user, queues and settings of a part: what works, and what must be refused.

Nothing is left behind: probes use queues that are exclusive and go with the connection, and messages that no queue
takes. Each probe has a channel of its own, since the broker answers a refusal by closing it.
"""

import ipaddress
import re
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import aiormq
from pamqp.commands import Basic

from dts_core.brokers.base import (
    CONTROL,
    DEAD,
    EVENTS,
    HEARTBEATS,
    JOBS,
    LOGS,
    REQUESTS,
    RESULTS,
    SUBMIT,
    QueueKind,
    QueueSpec,
)
from dts_core.brokers.naming import Names
from dts_core.brokers.rabbitmq.connecting import url_of
from dts_core.brokers.rabbitmq.deadlines import answered
from dts_core.brokers.rabbitmq.framing.address import Address, address_of
from dts_core.brokers.rabbitmq.permissions import user_of
from dts_core.brokers.rabbitmq.tls import context_of
from dts_core.brokers.rabbitmq.topology import UP, Topology, fanout_name, subscription_queue
from dts_core.doctor.findings import Finding, ok, problem, warning
from dts_core.errors import DtsError, Forbidden, QueueNotFound
from dts_core.settings import BrokerSettings, LinkSettings
from dts_core.text import one_line

__all__ = ["check_rabbitmq"]

AREA: Final = "broker"
OLDEST: Final = (3, 10)
DEFAULT_CONSUMER_TIMEOUT: Final = 1800
"""Seconds, since RabbitMQ 3.8.17."""
GRANT: Final = "`dts broker grant` shows the permissions and sets them."
Probe = Callable[[Any], Awaitable[object]]


async def check_rabbitmq(
    settings: LinkSettings, *, host: str = "", queues: Sequence[str] = ()
) -> list[Finding]:
    """Look at the broker of a part.

    Args:
        settings: Its `[broker]`.
        host: Of the worker; empty: the part is of the control side.
        queues: That the worker takes from, without their prefix.

    Raises:
        ConfigError: The settings themselves are wrong.
    """
    checkup = _Checkup(settings, host, queues)
    async with checkup.connected() as reason:
        if reason is not None:
            return [problem(AREA, reason, _connection_advice(reason, checkup.mechanism))]
        found = [checkup.version(), *checkup.line(), checkup.consumer_timeout()]
        found += await (checkup.worker() if host else checkup.control())
        found += await checkup.queues()
    return found


class _Checkup:
    def __init__(self, settings: LinkSettings, host: str, queues: Sequence[str]) -> None:
        self._settings = settings
        self._address: Address = address_of(settings.url)
        self._host = host
        self._queues = queues
        self._names = Names(settings.mq)
        self._topology = Topology(settings.mq, settings.rabbitmq)
        self._seconds = settings.rabbitmq.deadline_seconds
        self._connection: Any = None

    @property
    def mechanism(self) -> str:
        """How this part logs in."""
        return self._address.mechanism

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[str | None]:
        """Yields why there is no connection, or None."""
        settings = self._settings
        context: ssl.SSLContext | None = None
        if self._address.is_tls:
            context = context_of(settings.tls)
        url = url_of(self._address, settings.rabbitmq.heartbeat_seconds, "dts doctor")
        self._connection = aiormq.Connection(url, context=context)
        reason = None
        try:
            async with answered(f"RabbitMQ at {self._address}", self._seconds):
                await self._connection.connect()
        except DtsError as error:
            reason = error.message
        try:
            yield reason
        finally:
            if reason is None:
                await self._connection.close()

    # --- the connection

    def version(self) -> Finding:
        told = self._connection.server_properties
        product, version = (_text(told.get(name)) for name in ("product", "version"))
        found = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
        where = f"{product} {version} at {self._address} as {self._address.user}"
        if product != "RabbitMQ":
            return warning(AREA, where, "Only RabbitMQ is tested.")
        if found < OLDEST:
            return problem(AREA, where, "Use RabbitMQ 3.10 or newer.")
        return ok(AREA, where)

    def line(self) -> list[Finding]:
        wanted = self._settings.rabbitmq.heartbeat_seconds
        beat = int(self._connection.connection_tune.heartbeat or 0)
        found = [
            ok(
                AREA,
                f"heartbeat every {wanted} s; a silent connection is given up after three at most",
            )
        ]
        if beat == 0:
            found = [
                warning(
                    AREA,
                    "the broker asks for no heartbeats: it notices a silent worker late",
                    "Set `heartbeat = 60` or less in rabbitmq.conf.",
                )
            ]
        if self._address.is_tls:
            return [*found, ok(AREA, "the connection is encrypted, the certificate checked")]
        if not _is_here(self._address.host):
            found.append(
                warning(AREA, "the connection is not encrypted", "Use amqps:// and [broker.tls].")
            )
        return found

    def consumer_timeout(self) -> Finding:
        after = self._settings.rabbitmq.ack_after_seconds
        what = (
            f"deliveries are acked after {after:g} s at the latest; the broker's consumer_timeout"
            f" cannot be seen from here (default {DEFAULT_CONSUMER_TIMEOUT} s)"
        )
        if after >= DEFAULT_CONSUMER_TIMEOUT:
            return problem(AREA, what, "Set [broker.rabbitmq] ack_after_seconds to 600.")
        if after > DEFAULT_CONSUMER_TIMEOUT / 2:
            return warning(AREA, what, "Keep ack_after_seconds at half the consumer_timeout.")
        return ok(AREA, what)

    # --- permissions

    async def control(self) -> list[Finding]:
        sub = subscription_queue("", f"doctor-{secrets.token_hex(6)}")
        own = self._names.given(f"{JOBS}doctor-{secrets.token_hex(6)}")
        signed = Basic.Properties(user_id=self._address.user)

        async def round_trip(channel: Any) -> None:
            await _declare(channel, own)
            await channel.queue_bind(own, UP, routing_key=own)
            for exchange in ("", UP):
                await channel.basic_publish(
                    b"", exchange=exchange, routing_key=own, mandatory=True, properties=signed
                )
            if (await channel.basic_get(own, no_ack=True)).delivery is None:
                raise QueueNotFound("a message that was confirmed is not there.")

        async def subscribe(channel: Any) -> None:
            await _declare(channel, sub)
            await channel.queue_bind(sub, fanout_name(EVENTS))

        needed: list[tuple[str, Probe]] = [
            ("make a queue of jobs, publish to it and take from it", round_trip),
            ("hear what others announce", subscribe),
        ]
        return [await self._may(what, probe) for what, probe in needed]

    async def worker(self) -> list[Finding]:
        sub = subscription_queue(self._host, f"doctor{secrets.token_hex(6)}")

        async def hear_orders(channel: Any) -> None:
            await _declare(channel, sub)
            await channel.queue_bind(sub, fanout_name(CONTROL))

        async def report(channel: Any) -> None:
            signed = Basic.Properties(user_id=self._address.user)
            await channel.basic_publish(b"", exchange=UP, routing_key="doctor", properties=signed)

        needed: list[tuple[str, Probe]] = [
            ("hear orders", hear_orders),
            ("publish results, heartbeats and logs", report),
        ]
        found = [await self._may(what, probe) for what, probe in needed]
        expected = user_of(self._host)
        if self._address.user != expected:
            found.append(
                warning(
                    AREA,
                    f"user {self._address.user} is not {expected}: what this host says is taken on trust",
                    f"Make its own user: dts broker grant --host {self._host}.",
                )
            )
            return found
        return [*found, *[await self._may_not(what, probe) for what, probe in self._forbidden(sub)]]

    def _forbidden(self, sub: str) -> list[tuple[str, Probe]]:
        other = subscription_queue("another.host", f"doctor{secrets.token_hex(6)}")

        async def publish_to_a_queue(channel: Any) -> None:
            await _declare(channel, sub)
            await channel.basic_publish(b"", exchange="", routing_key=sub)

        async def hear_events(channel: Any) -> None:
            await _declare(channel, sub)
            await channel.queue_bind(sub, fanout_name(EVENTS))

        async def speak_for_another(channel: Any) -> None:
            properties = Basic.Properties(user_id=user_of("another.host"))
            await channel.basic_publish(
                b"", exchange=UP, routing_key="doctor", properties=properties
            )

        return [
            ("publish to queues past the server", publish_to_a_queue),
            ("make queues of another host", lambda channel: _declare(channel, other)),
            ("hear what the servers announce", hear_events),
            ("speak in another host's name", speak_for_another),
        ]

    async def _may(self, what: str, probe: Probe) -> Finding:
        who = self._address.user
        refusal = await self._try(probe)
        if refusal is None:
            return ok(AREA, f"{who} may {what}")
        if isinstance(refusal, QueueNotFound) and not await self._is_prepared():
            return warning(AREA, f"whether {who} may {what} cannot be seen yet", _FIRST_START)
        advice = GRANT
        if not isinstance(refusal, Forbidden):
            advice = "A broker that takes no messages is out of memory or disk: see its log."
        return problem(AREA, f"{who} cannot {what}: {one_line(refusal.message)}", advice)

    async def _may_not(self, what: str, probe: Probe) -> Finding:
        refusal = await self._try(probe)
        if refusal is None:
            return problem(AREA, f"{self._address.user} may {what}", GRANT)
        return ok(AREA, f"{self._address.user} may not {what}")

    async def _is_prepared(self) -> bool:
        """Whether a server or daemon has made the exchanges of this virtual host; a passive look needs no right."""

        def look(name: str) -> Probe:
            return lambda channel: channel.exchange_declare(name, passive=True)

        for name in (UP, fanout_name(CONTROL), fanout_name(EVENTS)):
            if isinstance(await self._try(look(name)), QueueNotFound):
                return False
        return True

    async def _try(self, probe: Probe) -> DtsError | None:
        """Why it failed, or None."""
        try:
            async with answered("the broker answered", self._seconds):
                channel = await self._connection.channel()
                await probe(channel)
                await channel.close()
        except DtsError as error:
            return error
        return None

    # --- queues

    async def queues(self) -> list[Finding]:
        wrong, missing, good = [], [], 0
        for spec in self._specs():
            for band in self._topology.bands(spec):
                differs = await self._differs(band, spec)
                if differs is None:
                    missing.append(band)
                elif differs:
                    wrong.append(differs)
                else:
                    good += 1
        found = [ok(AREA, f"{good} queues are as the settings want them")] if good else []
        if missing:
            names = ", ".join(missing)
            found.append(ok(AREA, f"not there yet, made at the first start: {names}"))
        found += [problem(AREA, each, _QUEUE_ADVICE) for each in wrong]
        return found

    def _specs(self) -> list[QueueSpec]:
        if self._host:
            wanted = dict.fromkeys([*self._queues, f"host.{self._host}"])
            return [self._names.spec(QueueSpec(f"{JOBS}{queue}")) for queue in wanted]
        limits = self._settings
        assert isinstance(limits, BrokerSettings)
        return [
            self._names.spec(spec)
            for spec in (
                QueueSpec(RESULTS),
                QueueSpec(DEAD),
                QueueSpec(SUBMIT),
                QueueSpec(HEARTBEATS, QueueKind.BOUNDED, limits.heartbeats_limit),
                QueueSpec(LOGS, QueueKind.BOUNDED, limits.logs_limit),
                QueueSpec(REQUESTS, QueueKind.REQUEST),
                QueueSpec(f"{JOBS}default"),
                QueueSpec(f"{JOBS}dts"),
            )
        ]

    async def _differs(self, band: str, spec: QueueSpec) -> str | None:
        """How a queue differs from the settings; empty when it does not, None when it is not there."""
        passive = await self._try(lambda channel: channel.queue_declare(band, passive=True))
        if isinstance(passive, QueueNotFound):
            return None
        arguments = self._topology.arguments(spec)
        refusal = passive or await self._try(
            lambda channel: channel.queue_declare(band, durable=True, arguments=arguments)
        )
        return "" if refusal is None else f"queue {band}: {one_line(refusal.message)}"


_FIRST_START: Final = "The first server or daemon makes what it takes; look again after that."
_QUEUE_ADVICE: Final = (
    "Make the settings the same in every part; or empty the queue and delete it, it is made anew."
)


async def _declare(channel: Any, queue: str) -> None:
    await channel.queue_declare(queue, exclusive=True, auto_delete=True)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "?")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _connection_advice(reason: str, mechanism: str) -> str:
    if "login" in reason and mechanism == "EXTERNAL":
        return (
            "The certificate's common name has to be a user (`dts broker grant --certificate`), and RabbitMQ"
            " needs rabbitmq_auth_mechanism_ssl, auth_mechanisms and ssl_cert_login_from."
        )
    if "login" in reason:
        return "Check user and password, and that the user may enter the virtual host."
    if "certificate" in reason.lower() or "ssl" in reason.lower():
        return "Check [broker.tls] ca_file, and that the certificate names this host."
    return "Check host, port and virtual host of [broker] url, and that RabbitMQ runs."
