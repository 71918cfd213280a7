"""Who gets mail, by which server, and whether there is any."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from dts_core.clock import Clock
from dts_core.errors import ConfigError, InvalidInput
from dts_core.model import User
from dts_core.names import new_id
from dts_core.private import read_private
from dts_core.services.access import DTS, Caller, Role
from dts_core.services.jobs import Jobs
from dts_core.services.mailaddress import ADMINISTRATORS, is_address, is_group
from dts_core.services.mailtext import Letter, letter_of_test
from dts_core.services.users import USERS
from dts_core.settings import NotifySettings, SmtpSettings
from dts_core.stores.base import Store
from dts_core.text import clean
from dts_core.views import SubmitRequest

__all__ = [
    "FUNCTION",
    "MAILER",
    "PORTS",
    "Mail",
    "Recipient",
    "check_group_names",
    "check_smtp",
    "password_of",
    "post",
    "post_test",
]

FUNCTION: Final = "dts/notify.smtp"
MAILER: Final = Caller(user=DTS, role=Role.ADMIN, source="daemon")
"""In whose name daemons mail."""
RETRIES: Final = 12
BACKOFF_SECONDS: Final = 10.0
"""Doubles up to the scheduler's longest backoff: a mail server may be away for half a night."""
TIMEOUT_SECONDS: Final = 600.0
PASSWORD_MAX: Final = 1_024
PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
"""Of each way to a server, unless the settings say otherwise."""
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_READABLE: Final = stat.S_IRWXG | stat.S_IRWXO


class Recipient(msgspec.Struct, frozen=True):
    """One who gets a mail."""

    user: str
    address: str


class Mail:
    """The recipients of groups, and the server.

    Args:
        store: Where users stand.
        clock: For dates.
        settings: `[notify]`.

    Raises:
        ConfigError: A setting of the server is missing or fits no other.
    """

    def __init__(self, store: Store, clock: Clock, settings: NotifySettings) -> None:
        check_smtp(settings.smtp)
        self._store = store
        self.clock = clock
        self.smtp = settings.smtp

    @property
    def is_on(self) -> bool:
        """Whether a server is configured."""
        return bool(self.smtp.host)

    @property
    def words(self) -> str:
        """Whether it is, as the status says it: on or off."""
        return "on" if self.is_on else "off"

    async def recipients(self, groups: Sequence[str]) -> list[Recipient]:
        """Every enabled user of any of the groups who has an address, by name; no address twice.

        Raises:
            InvalidInput: One can be no group's name.
        """
        _check_groups(groups)
        found: dict[str, Recipient] = {}
        cursor = ""
        while True:
            users, cursor = await USERS.page(self._store, after=cursor, limit=500)
            for user in users:
                if _gets(user, groups):
                    found.setdefault(user.address.casefold(), Recipient(user.id, user.address))
            if not cursor:
                return list(found.values())


async def post(
    jobs: Jobs,
    caller: Caller,
    groups: Sequence[str],
    letter: Letter,
    *,
    key: str,
    retries: int = RETRIES,
    **more: Any,
) -> str:
    """Have a letter mailed by a job; the same key again is the same job.

    Args:
        jobs: Takes it.
        caller: In whose name.
        groups: Whose members get it.
        letter: What.
        key: Idempotency key.
        retries: Of the job.
        more: Further arguments of the function.

    Returns:
        The job's id.

    Raises:
        DtsError: It was not accepted, or nothing is known of it.
    """
    arguments = {"groups": list(groups), "subject": letter.subject, "text": letter.text, **more}
    request = SubmitRequest(
        function=FUNCTION,
        kwargs=msgspec.Raw(msgspec.json.encode(arguments)),
        retries=retries,
        backoff_seconds=BACKOFF_SECONDS,
        timeout_seconds=TIMEOUT_SECONDS,
    )
    return (await jobs.submit_many(caller, [request], key=key))[0]


async def post_test(jobs: Jobs, caller: Caller, group: str, *, key: str = "") -> str:
    """Have a group mailed a test; the id of the job, which is not tried again.

    Raises:
        InvalidInput: It can be no group's name.
        DtsError: See `post`.
    """
    _check_groups([group])
    letter = letter_of_test(group, caller.user)
    return await post(jobs, caller, [group], letter, key=key or new_id(), retries=0)


def check_smtp(settings: SmtpSettings) -> None:
    """Let pass a server that can be used, or none at all.

    Raises:
        ConfigError: Names the key.
    """
    if not settings.host:
        return
    if not is_address(settings.sender):
        raise ConfigError(
            f"{settings.sender[:60]!r} is no mail address.",
            key="notify.smtp.sender",
            advice="Give the address that mail comes from, such as dts@example.org.",
        )
    if bool(settings.user) != bool(settings.password_file):
        missing = "password_file" if settings.user else "user"
        raise ConfigError(
            "is missing.", key=f"notify.smtp.{missing}", advice="A login needs both of them."
        )
    if settings.user and settings.security == "none" and settings.host not in LOOPBACK:
        raise ConfigError(
            "the password would go over the network in clear.",
            key="notify.smtp.security",
            advice="Use starttls or tls, or a server without login.",
        )


def check_group_names(names: Sequence[str], *, key: str) -> None:
    """Let pass names that groups can have.

    Raises:
        ConfigError: One is none.
    """
    for name in names:
        if not is_group(name):
            raise ConfigError(
                f"{clean(name, 60)!r} is no group's name.",
                key=key,
                advice="Use lower-case letters, digits and _, starting with a letter.",
            )


def password_of(file: str) -> str:
    """The password in a file that nobody but this user may read; the message of an error never holds any of it.

    Raises:
        ConfigError: It is not there, others may read it, or it is no password.
    """
    path, key = Path(file).expanduser(), "notify.smtp.password_file"
    shown = clean(str(path))
    try:
        content = read_private(path, PASSWORD_MAX + 1)
        mode = path.stat().st_mode if content is not None else 0
    except OSError as error:
        raise ConfigError(
            f"{shown} cannot be read: {os.strerror(error.errno or 0)}.", key=key
        ) from error
    if content is None:
        raise ConfigError(
            f"{shown} is no file of this user.", key=key, advice="Make it, mode 0600."
        )
    if mode & _READABLE:
        raise ConfigError(f"{shown} may be read by others.", key=key, advice=f"chmod 600 {shown}")
    try:
        password = content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        password = ""
    if not password or not password.isprintable() or len(content) > PASSWORD_MAX:
        raise ConfigError(
            f"{shown} holds no password.", key=key, advice="It holds one line, the password alone."
        ) from None
    return password


def _gets(user: User, groups: Sequence[str]) -> bool:
    if user.disabled or not is_address(user.address):
        return False
    if ADMINISTRATORS in groups and user.role == "admin":
        return True
    return not set(groups).isdisjoint(user.groups)


def _check_groups(groups: Sequence[str]) -> None:
    wrong = [name for name in groups if not is_group(name)]
    if wrong or not groups:
        raise InvalidInput(
            f"{clean(str(wrong[0]) if wrong else '', 60)!r} is no group.",
            fields={"group": "the name of a group of users"},
            advice=f"Name a group, such as {ADMINISTRATORS}.",
        )
