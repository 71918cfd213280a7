"""Where the servers of this measurement are."""

import os

AMQP = os.environ.get("BENCH_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
REDIS = os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379/0")
OUTSTANDING = 100
"""Asynchronous publications on their way at once."""
IO_SECONDS = 0.01
