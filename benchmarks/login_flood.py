"""A flood of logins, as a process of its own: `python -m benchmarks.login_flood URL SECONDS` prints the statuses."""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count

import httpx

AT_ONCE = 40
"""Logins that are tried at the same time."""
PER_ADDRESS = 40
"""Logins from one address before the next: more than a server takes of one in a minute."""
USERS = 20
"""Users that are there, `user_0` and so on; every other login names nobody."""


def addresses(first: int = 1) -> Iterator[str]:
    """Loopback addresses, each another one: on Linux all of 127/8 is this machine."""
    for number in count(first):
        yield f"127.{1 + number // 62_500 % 250}.{1 + number // 250 % 250}.{1 + number % 250}"


def client(url: str, address: str) -> httpx.AsyncClient:
    """A connection from that address."""
    transport = httpx.AsyncHTTPTransport(local_address=address)
    return httpx.AsyncClient(base_url=url, timeout=60, transport=transport)


async def flood(url: str, seconds: float) -> Counter[str]:
    """Logins that fail, from many addresses; how often each status was answered."""
    statuses: Counter[str] = Counter()
    fresh = addresses(1000)
    stop = time.monotonic() + seconds

    async def attack(number: int) -> None:
        tries = count(number)
        while time.monotonic() < stop:
            async with client(url, next(fresh)) as http:
                for _ in range(PER_ADDRESS):
                    each = next(tries)
                    user = f"user_{each % USERS}" if each % 2 else f"nobody_{number}_{each}"
                    body = {"user": user, "secret": f"wrong {each}"}
                    answer = await http.post("/session", json=body)
                    statuses[str(answer.status_code)] += 1
                    if time.monotonic() >= stop:
                        return

    await asyncio.gather(*(attack(number) for number in range(AT_ONCE)))
    return statuses


if __name__ == "__main__":
    print(json.dumps(asyncio.run(flood(sys.argv[1], float(sys.argv[2])))))
