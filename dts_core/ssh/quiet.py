"""Sends what is meant and does what is needed, nothing beside it."""

import asyncio
from typing import Any, Final

__all__ = ["with_lazy_keepalive", "without_filler", "without_packet_log"]

MSG_IGNORE: Final = 2


def without_filler(connection: Any) -> None:
    """Leave out the empty packet that asyncssh puts before each other one: half of all packets, at both ends.

    It hides the chained initialization vector of CBC modes, none of which is ever agreed on (`CIPHERS`); the others
    begin each packet anew. Where asyncssh sends otherwise one day, this does nothing.
    """
    send = connection.send_packet

    def send_packet(kind: int, *parts: bytes, **options: Any) -> None:
        if kind != MSG_IGNORE:
            send(kind, *parts, **options)

    connection.send_packet = send_packet


def without_packet_log(channel: Any) -> None:
    """Make no words for each packet of a channel: asyncssh puts them together before it asks whether anybody reads."""
    channel.log_sent_packet = channel.log_received_packet = _nothing


def with_lazy_keepalive(connection: Any, interval: float) -> None:
    """Look at the clock when the timer of keep-alives fires: asyncssh makes a new timer with each packet that comes.

    Where asyncssh counts otherwise one day, this does nothing.

    Args:
        connection: Logged in, with its interval set.
        interval: The same, in seconds.
    """
    names = ("_reset_keepalive_timer", "_keepalive_timer_callback", "_keepalive_timer")
    if not all(hasattr(connection, name) for name in names):
        return
    clock, ask = asyncio.get_running_loop(), connection._keepalive_timer_callback
    heard_at = clock.time()

    def hear() -> None:
        nonlocal heard_at
        heard_at = clock.time()

    def on_time() -> None:
        left = heard_at + interval - clock.time()
        if left > 0:
            connection._keepalive_timer = clock.call_later(left, on_time)
        else:
            ask()

    connection._keepalive_timer_callback = on_time
    connection._reset_keepalive_timer()  # the timer that runs knows the former function
    connection._reset_keepalive_timer = hear


def _nothing(*_: Any, **__: Any) -> None:
    return None
