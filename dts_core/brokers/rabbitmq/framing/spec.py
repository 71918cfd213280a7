"""The numbers of AMQP 0-9-1 that the framing layer speaks with, and its own bounds."""

from typing import Final

GREETING: Final = b"AMQP\x00\x00\x09\x01"
"""What a client says first; a server of another version answers with its own."""

FRAME_METHOD: Final = 1
FRAME_HEADER: Final = 2
FRAME_BODY: Final = 3
FRAME_HEARTBEAT: Final = 8
FRAME_END: Final = 0xCE
FRAME_OVERHEAD: Final = 8
"""Seven bytes before the payload, one after it."""

FRAME_MAX: Final = 128 << 10
"""Largest frame that is taken, in bytes; also RabbitMQ's own proposal."""
FRAME_MIN: Final = 4096
"""The least that either side may ask for."""
BODY_MAX: Final = 7 << 20
"""Largest body that is sent, in bytes; as a link has it: its frames of 8 MiB leave room for what surrounds a body."""
MESSAGE_MAX: Final = 16 << 20
"""Largest body that is taken, in bytes; also the bound of newer RabbitMQs."""
BACKLOG_MAX: Final = 32 << 20
"""Most bytes that wait while the broker does not read; publishing is refused beyond."""
DEPTH_MAX: Final = 16
"""How deep tables and arrays may lie in each other."""
SHORT_MAX: Final = 255
"""Longest short string, in bytes."""

# Methods: the class in the high 16 bits, the method in the low ones.
CONNECTION_START: Final = 10 << 16 | 10
CONNECTION_START_OK: Final = 10 << 16 | 11
CONNECTION_TUNE: Final = 10 << 16 | 30
CONNECTION_TUNE_OK: Final = 10 << 16 | 31
CONNECTION_OPEN: Final = 10 << 16 | 40
CONNECTION_OPEN_OK: Final = 10 << 16 | 41
CONNECTION_CLOSE: Final = 10 << 16 | 50
CONNECTION_CLOSE_OK: Final = 10 << 16 | 51
CONNECTION_BLOCKED: Final = 10 << 16 | 60
CONNECTION_UNBLOCKED: Final = 10 << 16 | 61

CHANNEL_OPEN: Final = 20 << 16 | 10
CHANNEL_OPEN_OK: Final = 20 << 16 | 11
CHANNEL_FLOW: Final = 20 << 16 | 20
CHANNEL_FLOW_OK: Final = 20 << 16 | 21
CHANNEL_CLOSE: Final = 20 << 16 | 40
CHANNEL_CLOSE_OK: Final = 20 << 16 | 41

BASIC: Final = 60
BASIC_QOS: Final = 60 << 16 | 10
BASIC_QOS_OK: Final = 60 << 16 | 11
BASIC_CONSUME: Final = 60 << 16 | 20
BASIC_CONSUME_OK: Final = 60 << 16 | 21
BASIC_CANCEL: Final = 60 << 16 | 30
BASIC_CANCEL_OK: Final = 60 << 16 | 31
BASIC_PUBLISH: Final = 60 << 16 | 40
BASIC_RETURN: Final = 60 << 16 | 50
BASIC_DELIVER: Final = 60 << 16 | 60
BASIC_ACK: Final = 60 << 16 | 80
BASIC_NACK: Final = 60 << 16 | 120

CONFIRM_SELECT: Final = 85 << 16 | 10
CONFIRM_SELECT_OK: Final = 85 << 16 | 11

REPLY_SUCCESS: Final = 200

# Which properties a content header carries; on the wire they follow each other from the highest bit down.
HAS_CONTENT_TYPE: Final = 1 << 15
HAS_CONTENT_ENCODING: Final = 1 << 14
HAS_HEADERS: Final = 1 << 13
HAS_DELIVERY_MODE: Final = 1 << 12
HAS_PRIORITY: Final = 1 << 11
HAS_CORRELATION_ID: Final = 1 << 10
HAS_REPLY_TO: Final = 1 << 9
HAS_EXPIRATION: Final = 1 << 8
HAS_MESSAGE_ID: Final = 1 << 7
HAS_TIMESTAMP: Final = 1 << 6
HAS_TYPE: Final = 1 << 5
HAS_USER_ID: Final = 1 << 4
HAS_APP_ID: Final = 1 << 3
HAS_CLUSTER_ID: Final = 1 << 2
