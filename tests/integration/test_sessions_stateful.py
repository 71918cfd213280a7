"""Random logins, tokens, revocations, disabling and new secrets on two servers: nothing ended ever counts again."""

import asyncio
import shutil
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    multiple,
    rule,
    run_state_machine_as_test,
)

from dts_core.errors import DtsError, Throttled, Unauthenticated
from dts_core.services.sessions import RECHECK_SECONDS
from dts_core.services.users import LOCAL
from dts_core.views import SecretChange
from tests.support.sides import SECRET, USERS, Side, sides

people = st.sampled_from(USERS)
places = st.integers(0, 1)


class Shown:
    """A token that was given out, and since when it must not count."""

    def __init__(
        self,
        token: str,
        user: str,
        token_id: str = "",
        parent: "Shown | None" = None,
        days: float = 10.0,
    ) -> None:
        self.token = token
        self.user = user
        self.id = token_id
        self.parent = parent
        self.days = days
        self.ended: float | None = None


class Credentials(RuleBasedStateMachine):
    """What was ended, and when, beside two servers that hear nothing of each other."""

    shown = Bundle("shown")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())
        self.stack = AsyncExitStack()
        self.both: tuple[Side, Side]
        one, two, self.clock = self.runner.run(self.stack.enter_async_context(sides(self.folder)))
        self.both = (one, two)
        self.secrets = dict.fromkeys(USERS, SECRET)
        self.disabled: set[str] = set()
        self.tokens: list[Shown] = []
        self.changes = 0

    def teardown(self) -> None:
        """Close the store, and remove it."""
        self.runner.run(self.stack.aclose())
        self.runner.close()
        shutil.rmtree(self.folder)

    def end(self, *which: Shown) -> None:
        """These must not count from now on, nor what was made with them."""
        for each in which:
            if each.ended is None:
                each.ended = self.clock.monotonic()
                self.end(*(child for child in self.tokens if child.parent is each))

    def of(self, user: str) -> list[Shown]:
        return [each for each in self.tokens if each.user == user]

    @rule(target=shown, user=people, place=places)
    def login(self, user: str, place: int) -> object:
        try:
            token = self.runner.run(self.both[place].login(user, self.secrets[user]))
        except Unauthenticated:
            assert user in self.disabled
            return multiple()
        except Throttled:
            self.clock.advance(60.0)
            return multiple()
        assert user not in self.disabled
        self.tokens.append(Shown(token, user))
        return self.tokens[-1]

    @rule(user=people, place=places)
    def guess(self, user: str, place: int) -> None:
        """With a secret that is not, or no longer, the one."""
        try:
            self.runner.run(self.both[place].login(user, SECRET + "?"))
        except (Unauthenticated, Throttled):
            return
        raise AssertionError("a wrong secret was taken")

    @rule(target=shown, by=shown, place=places)
    def make(self, by: Shown, place: int) -> object:
        days = by.days / 2  # none outlives the token that asks for it
        try:
            made = self.runner.run(self.both[place].access(by.token, days=days))
        except Unauthenticated:
            assert by.ended is not None
            return multiple()
        assert by.ended is None, "a token was made with one that had ended"
        parent = by if by.id else None
        self.tokens.append(Shown(made.token, by.user, made.id, parent, days))
        return self.tokens[-1]

    @rule(which=shown, place=places)
    def logout(self, which: Shown, place: int) -> None:
        side = self.both[place]
        if self.runner.run(side.counts(which.token)):
            caller = self.runner.run(side.caller(which.token))
            self.runner.run(side.sessions.logout(caller))
            self.end(which)

    @rule(which=shown, place=places)
    def revoke(self, which: Shown, place: int) -> None:
        if which.id and which.ended is None:
            self.runner.run(self.both[place].tokens.revoke(LOCAL, which.id, of_all=True))
            self.end(which)

    @rule(user=people, place=places, logins=st.booleans())
    def revoke_all(self, user: str, place: int, logins: bool) -> None:
        self.runner.run(self.both[place].tokens.revoke_all(LOCAL, user, logins=logins))
        self.end(*(each for each in self.of(user) if each.id or logins))

    @rule(user=people, place=places, disabled=st.booleans())
    def disable_or_enable(self, user: str, place: int, disabled: bool) -> None:
        body = {"disabled": disabled}
        self.runner.run(self.both[place].users.update(LOCAL, user, body))
        if disabled:
            self.disabled.add(user)
            self.end(*self.of(user))
        self.disabled -= set() if disabled else {user}

    @rule(user=people, place=places)
    def reset(self, user: str, place: int) -> None:
        secret = self.new_secret(user)
        self.runner.run(self.both[place].users.update(LOCAL, user, {"secret": secret}))
        self.end(*self.of(user))

    @rule(which=shown, place=places)
    def change(self, which: Shown, place: int) -> None:
        side, old = self.both[place], self.secrets[which.user]
        wanted = SecretChange(secret=old, new_secret=self.new_secret(which.user))
        try:
            caller = self.runner.run(side.caller(which.token))
            self.runner.run(side.sessions.change_secret(caller, wanted))
        except DtsError:
            assert which.id or which.ended is not None
            self.secrets[which.user] = old
            return
        assert which.ended is None, "a secret was changed with a token that had ended"
        assert not which.id, "a secret was changed with an access token"
        self.end(*(each for each in self.of(which.user) if each is not which))

    @rule(user=people, place=places)
    def remove_and_make_again(self, user: str, place: int) -> None:
        users = self.both[place].users
        self.runner.run(users.delete(LOCAL, user))
        body = {"_id": user, "role": "submitter", "secret": self.secrets[user]}
        self.runner.run(users.create(LOCAL, body))
        self.disabled.discard(user)
        self.end(*self.of(user))

    @rule(place=places)
    def sweep(self, place: int) -> None:
        self.runner.run(self.both[place].sessions.sweep())

    @rule(seconds=st.sampled_from([0.4, RECHECK_SECONDS, 61.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(which=consumes(shown))
    def forget(self, which: Shown) -> None:
        """Use others more."""

    @rule()
    def show_all(self) -> None:
        """What ended a second ago counts nowhere; what did not counts everywhere."""
        for each in self.tokens:
            told = [self.runner.run(side.counts(each.token)) for side in self.both]
            if each.ended is None:
                assert told == [True, True]
            elif self.clock.monotonic() - each.ended >= RECHECK_SECONDS:
                assert told == [False, False]

    def new_secret(self, user: str) -> str:
        self.changes += 1
        self.secrets[user] = f"secret number {self.changes:04}"
        return self.secrets[user]


def test_what_was_ended_never_counts_again() -> None:
    """No credential that was ended counts after a second, and none that was not is lost, in any sequence of acts."""
    run_state_machine_as_test(
        Credentials,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
