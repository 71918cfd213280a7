"""Who speaks in a message, as far as RabbitMQ vouches for it. No input or output here.

RabbitMQ refuses a message that names another user than its connection's, and takes one that names none. What the
control side passes on (a copy for the dead letters, a letter that is sent again) carries its own user; whom it came
from stands in a header then, which counts from the control side alone.
"""

import msgspec

from dts_core.brokers.base import Message
from dts_core.brokers.rabbitmq.topology import is_reply
from dts_core.brokers.senders import NOBODY, host_of

USER = "x-dts-user"
"""Header: who published the message that is passed on."""


def vouched(message: Message) -> Message:
    """A message as it came, with the user who speaks in it, NOBODY for one that is not signed.

    A host's word passes for no other's, and is answered on a queue of replies alone: the control side's answer to it
    could go into any queue.
    """
    user, headers = message.user_id, message.headers
    is_own = bool(user) and host_of(user) is None
    if is_own and USER not in headers:
        return message
    kept = {name: value for name, value in headers.items() if name != USER}
    if is_own:
        told = headers[USER]
        return msgspec.structs.replace(
            message, headers=kept, user_id=told if isinstance(told, str) and told else NOBODY
        )
    reply_to = message.reply_to if is_reply(message.reply_to) else ""
    return msgspec.structs.replace(message, headers=kept, user_id=user or NOBODY, reply_to=reply_to)


def passed_on(message: Message) -> Message:
    """A message that is published again by the control side, in the name of whom it came from."""
    if not message.user_id:
        return message
    return msgspec.structs.replace(message, headers={**message.headers, USER: message.user_id})
