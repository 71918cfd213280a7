"""Attack the HTTP interface for longer than the tests do: `make fuzz`.

FUZZ_SECONDS (600) of rights taken away at random while requests go on in FUZZ_SERVERS (3) processes on one store;
then schemathesis with FUZZ_EXAMPLES (100) examples for each route, as an administrator and as a viewer.
FUZZ_SEED repeats a run; FUZZ_PARTS names one of revocation, schema.
"""

import asyncio
import json
import os
import random
import sys
import tempfile
from pathlib import Path

from tests.support import fuzz, mongodb, rabbitmq
from tests.support.distributed import distributed
from tests.support.fuzz.attacking import attack
from tests.support.revoking import Revoking
from tests.support.several import servers


async def revocation(folder: Path, seed: int) -> bool:
    """Whether nothing succeeded that was taken away, and nothing failed that stood."""
    seconds = float(os.environ.get("FUZZ_SECONDS", "600"))
    number = int(os.environ.get("FUZZ_SERVERS", "3"))
    with (
        rabbitmq.shared_node() as rabbit,
        mongodb.mongodb_address(folder) as store,
        distributed(folder, rabbit.vhost(), store.fresh()) as engine,
    ):
        urls, token = servers(engine, number)
        fuzzed = Revoking(urls, token, seed)
        try:
            await fuzzed.set_up()
            record = await fuzzed.run(seconds=seconds)
        finally:
            await fuzzed.close()
    print(json.dumps(record.figures(), indent=1), flush=True)
    for each in [*record.later_successes, *record.wrongly_refused][:50]:
        print(f"  {each}")
    return not record.later_successes and not record.wrongly_refused


async def schema(folder: Path, seed: int) -> bool:
    """Whether schemathesis found nothing."""
    if not fuzz.available():
        print(f"schemathesis is missing: {fuzz.ADVICE}", file=sys.stderr)
        return False
    examples = os.environ.get("FUZZ_EXAMPLES", "100")
    statuses = []
    for role in ("admin", "viewer"):
        place = folder / role
        place.mkdir()
        status, output = await attack(
            place, role, ["--max-examples", examples, "--seed", str(seed)]
        )
        print(output, flush=True)
        statuses.append(status)
    return not any(statuses)


async def main() -> int:
    """0 when nothing was found."""
    seed = int(os.environ.get("FUZZ_SEED", "") or random.randrange(1 << 30))
    parts = os.environ.get("FUZZ_PARTS", "revocation,schema").split(",")
    print(f"seed {seed}", flush=True)
    found = []
    for part in (revocation, schema):
        if part.__name__ in parts:
            with tempfile.TemporaryDirectory(prefix="dts-fuzz-") as folder:
                found.append(await part(Path(folder), seed))
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
