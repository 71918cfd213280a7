"""Two servers on one store: what ends a token in one of them ends it in the other within a second."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from dts_core.errors import Unauthenticated
from dts_core.services.seals import TOKENS
from dts_core.services.sessions import RECHECK_SECONDS
from dts_core.services.users import LOCAL, USERS
from dts_core.views import SecretChange
from tests.support.sides import NEW, SECRET, Side, sides


async def logout(side: Side, token: str) -> None:
    await side.sessions.logout(await side.caller(token))


async def disable(side: Side, _: str) -> None:
    await side.users.update(LOCAL, "ann", {"disabled": True})


async def disable_and_enable(side: Side, _: str) -> None:
    await side.users.update(LOCAL, "ann", {"disabled": True})
    await side.users.update(LOCAL, "ann", {"disabled": False})


async def remove(side: Side, _: str) -> None:
    await side.users.delete(LOCAL, "ann")


async def remove_and_make_again(side: Side, _: str) -> None:
    await side.users.delete(LOCAL, "ann")
    await side.users.create(LOCAL, {"_id": "ann", "role": "submitter", "secret": SECRET})


async def reset(side: Side, _: str) -> None:
    await side.users.update(LOCAL, "ann", {"secret": NEW})


async def reset_to_the_same(side: Side, _: str) -> None:
    await side.users.update(LOCAL, "ann", {"secret": SECRET})


async def change(side: Side, _: str) -> None:
    other = await side.caller(await side.login("ann"))
    await side.sessions.change_secret(other, SecretChange(secret=SECRET, new_secret=NEW))


async def revoke_all(side: Side, _: str) -> None:
    await side.tokens.revoke_all(LOCAL, "ann", logins=True)


ENDINGS = [
    logout, disable, disable_and_enable, remove, remove_and_make_again, reset,
    reset_to_the_same, change, revoke_all,
]  # fmt: skip


@pytest.mark.parametrize("end", ENDINGS)
async def test_what_ends_a_login_ends_it_everywhere_within_a_second(
    tmp_path: Path, end: Callable[[Side, str], Awaitable[None]]
) -> None:
    """At once where it was done; in a server that heard nothing, when it looks again; bob is left alone."""
    async with sides(tmp_path) as (one, two, clock):
        token, bobs = await one.login("ann"), await one.login("bob")
        assert [await side.counts(each) for side in (one, two) for each in (token, bobs)] == [
            True
        ] * 4
        await end(one, token)
        assert await one.counts(token) is False
        assert await two.counts(token) is True
        clock.advance(RECHECK_SECONDS)
        assert await two.counts(token) is False
        assert [await one.counts(bobs), await two.counts(bobs)] == [True, True]


@pytest.mark.parametrize("end", [each for each in ENDINGS if each is not logout])
async def test_what_ends_all_logins_ends_access_tokens_too(
    tmp_path: Path, end: Callable[[Side, str], Awaitable[None]]
) -> None:
    """Also one that was made with another access token."""
    async with sides(tmp_path) as (one, two, clock):
        first = await one.access(await one.login("ann"))
        second = await two.access(first.token, days=1)
        await end(one, "")
        clock.advance(RECHECK_SECONDS)
        tokens = (first.token, second.token)
        assert [await side.counts(each) for side in (one, two) for each in tokens] == [False] * 4


async def test_a_logout_leaves_access_tokens_alone(tmp_path: Path) -> None:
    """They are for programs that go on when the person has gone home."""
    async with sides(tmp_path) as (one, two, clock):
        login = await one.login("ann")
        made = await one.access(login)
        await logout(two, login)
        clock.advance(RECHECK_SECONDS)
        assert [await one.counts(login), await one.counts(made.token)] == [False, True]


async def test_a_revoked_token_counts_nowhere(tmp_path: Path) -> None:
    """Within a second, with what was made from it."""
    async with sides(tmp_path) as (one, two, clock):
        login = await one.login("ann")
        first = await one.access(login)
        second = await two.access(first.token, days=1)
        await two.tokens.revoke(await two.caller(login), first.id)
        clock.advance(RECHECK_SECONDS)
        assert [await one.counts(each.token) for each in (first, second)] == [False, False]
        assert await one.counts(login) is True


async def test_a_new_secret_leaves_the_login_it_was_given_with(tmp_path: Path) -> None:
    """In both servers; and the new secret is the one that counts from then on, as often as it is changed."""
    async with sides(tmp_path) as (one, two, clock):
        mine, other = await one.login("ann"), await two.login("ann")
        for old, new in ((SECRET, NEW), (NEW, SECRET + "!")):
            wanted = SecretChange(secret=old, new_secret=new)
            await one.sessions.change_secret(await one.caller(mine), wanted)
            clock.advance(RECHECK_SECONDS)
            assert [await side.counts(mine) for side in (one, two)] == [True, True]
            assert [await side.counts(other) for side in (one, two)] == [False, False]
            with pytest.raises(Unauthenticated):
                await two.login("ann", old)
            other = await two.login("ann", new)
        await logout(two, mine)
        clock.advance(RECHECK_SECONDS)
        assert await one.counts(mine) is False


async def test_a_login_is_sealed_as_by_an_older_version(tmp_path: Path) -> None:
    """Servers of both versions take the same logins, of users who were never disabled."""
    async with sides(tmp_path) as (one, _, __):
        await one.login("ann")
        user = await USERS.load(one.store, "ann")
        [token], _cursor = await TOKENS.page(one.store)
        assert token.seal == hashlib.sha256(user.secret_hash.encode()).hexdigest()[:16]
