"""Hosts of fan-outs in the embedded store: a row each."""

from collections.abc import Sequence
from typing import Final

from dts_core.model import HostRun
from dts_core.model.remote import RUNNING
from dts_core.sqlite import Connection, all_rows, one_row
from dts_core.stores.embedded.base import Part
from dts_core.stores.limits import RUNS_MAX
from dts_core.stores.runs import asked_hosts, packed, run_of, stands

_BEGIN: Final = (
    "INSERT INTO outcomes(job, host, seq, epoch, state, doc, output) VALUES(?,?,?,?,?,?,?) "
    "ON CONFLICT(job, host) DO NOTHING"
)
_END: Final = (
    "INSERT INTO outcomes(job, host, seq, epoch, state, doc, output) VALUES(?,?,?,?,?,?,?) "
    "ON CONFLICT(job, host) DO UPDATE SET seq=excluded.seq, epoch=excluded.epoch, state=excluded.state, "
    f"doc=excluded.doc, output=excluded.output WHERE state='{RUNNING}' AND epoch<=excluded.epoch"
)
_SHOW: Final = (
    f"UPDATE outcomes SET output=? WHERE job=? AND host=? AND epoch=? AND state='{RUNNING}'"
)


class Runs(Part):
    """The RunStore."""

    async def save_runs(self, runs: Sequence[HostRun]) -> list[bool]:
        """See RunStore."""
        rows = [
            (each.job, each.host, each.seq, each.epoch, each.state, *packed(each)) for each in runs
        ]

        def work(connection: Connection) -> list[bool]:
            kept = []
            for run, row in zip(runs, rows, strict=True):
                connection.execute(_END if run.has_ended else _BEGIN, row)
                found = one_row(
                    connection, "SELECT epoch, state FROM outcomes WHERE job=? AND host=?", row[:2]
                )
                kept.append(stands(run, found))
            return kept

        return await self._write(work, durable=True)

    async def show_runs(self, runs: Sequence[HostRun]) -> None:
        """See RunStore."""
        rows = [(packed(each)[1], each.job, each.host, each.epoch) for each in runs]

        def work(connection: Connection) -> None:
            connection.executemany(_SHOW, rows)

        await self._write(work, durable=False)

    async def runs(self, job: str, *, after: int = 0, limit: int = 1000) -> list[HostRun]:
        """See RunStore."""

        def work(connection: Connection) -> list[HostRun]:
            rows = connection.execute(
                "SELECT doc FROM outcomes WHERE job=? AND seq>? ORDER BY seq LIMIT ?",
                (job, after, min(limit, RUNS_MAX)),
            )
            return [run_of(doc) for (doc,) in rows]

        return await self._read(work)

    async def get_runs(
        self, job: str, hosts: Sequence[str], *, with_output: bool = False
    ) -> list[HostRun]:
        """See RunStore."""
        asked = asked_hosts(hosts, with_output=with_output)
        columns = "doc, output" if with_output else "doc"

        def work(connection: Connection) -> list[HostRun]:
            rows = (
                one_row(
                    connection,
                    f"SELECT {columns} FROM outcomes WHERE job=? AND host=?",
                    (job, host),
                )
                for host in asked
            )
            return [run_of(*row) for row in rows if row is not None]

        return await self._read(work)

    async def count_runs(self, job: str) -> dict[str, int]:
        """See RunStore."""
        counts = "SELECT state, count(*) FROM outcomes WHERE job=? GROUP BY state"
        return dict(await self._read(lambda connection: all_rows(connection, counts, (job,))))
