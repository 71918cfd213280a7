"""How daemons tell people: by jobs of `dts/notify.smtp`, to the groups that their settings name."""

from collections.abc import Sequence

from dts_core.daemons.base import Part
from dts_core.daemons.notifying import Notifier, Submit, telling
from dts_core.services.building import build_jobs
from dts_core.services.mail import MAILER, check_group_names, check_smtp, post
from dts_core.services.mailtext import Letter
from dts_core.wiring.ports import Ports

__all__ = ["notifier", "told"]


def notifier(ports: Ports, name: str, groups: Sequence[str]) -> Notifier | None:
    """What tells people of a daemon's alarms; None: mail is off, or nobody is to be told.

    Raises:
        ConfigError: `[notify.smtp]` cannot be used, or a group can have no such name.
    """
    submit = _submit(ports, name, groups)
    return None if submit is None else Notifier(name, ports.notify, ports.clock, submit)


def told(ports: Ports, name: str, groups: Sequence[str], part: Part) -> Part:
    """The same part, which tells people when it dies. Raises as `notifier`."""
    submit = _submit(ports, name, groups)
    return part if submit is None else telling(name, part, submit, ports.notify, ports.clock)


def _submit(ports: Ports, name: str, groups: Sequence[str]) -> Submit | None:
    check_smtp(ports.notify.smtp)
    check_group_names(groups, key=f"consumer.{name}.notify")
    if not groups or not ports.notify.smtp.host:
        return None
    jobs = build_jobs(
        ports.store, ports.intake, ports.broker, ports.clock, result_max=ports.result_max
    )

    async def submit(key: str, letter: Letter) -> None:
        await post(jobs, MAILER, groups, letter, key=key)

    return submit
