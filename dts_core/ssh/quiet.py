"""Sends what is meant and nothing beside it."""

from typing import Any, Final

__all__ = ["without_filler", "without_packet_log"]

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


def _nothing(*_: Any, **__: Any) -> None:
    return None
