"""Two servers on one store as far as users and tokens go; neither hears what the other writes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from dts_core.errors import Unauthenticated
from dts_core.services.access import Caller
from dts_core.services.admin import AdminWriter
from dts_core.services.counters import Counters
from dts_core.services.directory import Directory
from dts_core.services.events import EventBus
from dts_core.services.passwords import Passwords
from dts_core.services.sessions import Sessions
from dts_core.services.tokens import Tokens
from dts_core.services.users import LOCAL, Users
from dts_core.stores.base import Store
from dts_core.testing import ManualClock
from dts_core.views import LoginRequest, TokenMade, TokenRequest
from tests.contract.store_backends import embedded
from tests.support.brokers import RecordingBroker

SECRET = "a secret of eight"
NEW = "another secret of mine"
USERS = ("ann", "bob")


class PlainPasswords(Passwords):
    """Hashes nothing: what is proved here are the rules around it."""

    made = 0

    async def hash(self, secret: str, *, field: str = "secret") -> str:
        del field
        PlainPasswords.made += 1
        return f"{secret}/{PlainPasswords.made}"

    async def verify(self, stored: str, secret: str) -> bool:
        return bool(stored) and stored.partition("/")[0] == secret


class Side:
    """The services of one server that know tokens; it hears nothing of what others write."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        counters = Counters()
        bus = EventBus(RecordingBroker(), counters)
        writer = AdminWriter(store, clock, bus, counters)
        passwords = PlainPasswords()
        directory = Directory(store, clock, bus)
        self.store = store
        self.users = Users(store, clock, writer, passwords)
        self.sessions = Sessions(store, clock, bus, writer, passwords, directory, token_hours=720)
        self.tokens = Tokens(store, clock, writer, directory, self.sessions, days_max=366)

    async def login(self, user: str, secret: str = SECRET) -> str:
        """A token for a secret."""
        return (await self.sessions.login(LoginRequest(user=user, secret=secret))).token

    async def caller(self, token: str) -> Caller:
        """Who shows this token."""
        return await self.sessions.authenticate(token)

    async def access(self, token: str, scope: str = "read", days: float = 30) -> TokenMade:
        """An access token, made with another token."""
        request = TokenRequest(name="x", scope=scope, days=days)  # type: ignore[arg-type]
        return await self.tokens.create(await self.caller(token), request)

    async def counts(self, token: str) -> bool:
        """Whether a token counts here."""
        try:
            await self.caller(token)
        except Unauthenticated:
            return False
        return True


@asynccontextmanager
async def sides(folder: Path) -> AsyncIterator[tuple[Side, Side, ManualClock]]:
    """Two servers on one store, with users ann and bob."""
    clock = ManualClock()
    async with embedded(folder, clock) as engine:
        one, two = Side(engine.store, clock), Side(engine.store, clock)
        for name in USERS:
            body = {"_id": name, "role": "submitter", "secret": SECRET}
            await one.users.create(LOCAL, body)
        yield one, two, clock
