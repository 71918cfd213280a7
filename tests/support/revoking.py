"""Users, tokens and namespaces on several servers, changed at random while requests of all of them go on."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import httpx

from tests.support.revocation import STATUSES_OF_TROUBLE, Record, Right, Sent

PEOPLE: Final = 5
PLACES: Final = 3
TOKENS: Final = 4
"""Tokens of a person at the same time."""
ROLES: Final = ("viewer", "submitter", "operator", "admin")
SCOPES: Final = dict(zip(ROLES, ("read", "submit", "operate", "admin"), strict=True))
_DONE: Final = {"POST": 409, "DELETE": 404}
"""What an act answers that was done already, by a request whose own answer was lost."""
SOURCE: Final = "def main() -> None:\n    pass\n"
KINDS: Final = (
    "token revoked", "logout", "user disabled", "password changed", "membership removed",
    "role lowered", "namespace deleted",
)  # fmt: skip


class Person:
    """A user: secret, tokens, and which roles they reach."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.role = "admin"
        self.secret = "the first secret"
        self.old = Right("password changed")
        """That the secret before this one counts: it never must."""
        self.former = ""
        self.is_in = Right("user disabled")
        self.reaches = {role: Right("role lowered") for role in ROLES[1:]}
        self.tokens: list[Shown] = []
        self.busy = asyncio.Lock()


class Shown:
    """A token, and the role that its user had when it was made: it never allows more."""

    def __init__(self, token: str, role: str, identity: str = "") -> None:
        self.token = token
        self.role = role
        self.id = identity
        self.right = Right("token revoked")


class Place:
    """A namespace with a function, and who is a submitter there."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.exists = Right("namespace deleted")
        self.members: dict[str, Right] = {}
        self.busy = asyncio.Lock()


class Revoking:
    """Changes rights, and asks.

    Args:
        urls: Of the servers.
        root: Token of an administrator that nobody touches.
        seed: Of what is chosen.
    """

    def __init__(self, urls: Sequence[str], root: str, seed: int) -> None:
        self.chance = random.Random(seed)
        self.record = Record()
        self._urls = list(urls)
        self._root = root
        self.people = [Person(f"person_{number}") for number in range(PEOPLE)]
        self.places = [Place(f"place_{number}") for number in range(PLACES)]
        self._http = httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=20))

    async def close(self) -> None:
        """Let the connections go."""
        await self._http.aclose()

    # --- asking

    async def ask(
        self, method: str, path: str, token: str, body: Any = None
    ) -> tuple[int, dict[str, Any]]:
        """Status and document of one request to one of the servers."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = self.chance.choice(self._urls) + path
        answer = await self._http.request(method, url, headers=headers, json=body)
        told = answer.json() if answer.content else {}
        return answer.status_code, told if isinstance(told, dict) else {}

    async def root(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """As the administrator; tried again while a server is busy, or has not heard of a new namespace yet.

        Raises:
            AssertionError: It was refused.
        """
        was_cut = False
        for _ in range(100):
            status, told = await self.ask(method, path, self._root, body)
            if status < 300 or (was_cut and status == _DONE.get(method)):
                return told
            was_cut = was_cut or status == 503
            if status not in (409, 503) and (path, status) != ("/admin/functions", 422):
                break
            await asyncio.sleep(0.1)
        raise AssertionError((method, path, status, told))

    async def set_up(self) -> None:
        """Everybody is there, with a token; every place has members."""
        for person in self.people:
            body = {"_id": person.name, "role": person.role, "secret": person.secret}
            await self.root("POST", "/admin/users", body)
            person.is_in.grant()
            for right in person.reaches.values():
                right.grant()
            await self.give(person)
        for place in self.places:
            await self.found(place)

    async def found(self, place: Place) -> None:
        """Make the namespace, with a function and some members."""
        chosen = self.chance.sample(self.people, 3)
        place.members = {person.name: Right("membership removed") for person in self.people}
        members = {person.name: "submitter" for person in chosen}
        await self.root("POST", "/admin/namespaces", {"_id": place.name, "members": members})
        body = {"_id": f"{place.name}/noop", "source": SOURCE}
        await self.root("POST", "/admin/functions", body)
        place.exists.grant()
        for name, right in place.members.items():
            if name in members:
                right.grant()
            else:
                right.end()

    async def give(self, person: Person) -> None:
        """An access token for a user."""
        scope = SCOPES[person.role]
        body = {"user": person.name, "name": "fuzz", "scope": scope, "days": 1}
        made = await self.root("POST", "/admin/tokens", body)
        shown = Shown(made["token"], person.role, made["id"])
        shown.right.grant()
        person.tokens = [*person.tokens[-TOKENS * 2 :], shown]

    # --- taking away

    async def change_something(self) -> None:
        """One act, chosen at random."""
        person, place = self.chance.choice(self.people), self.chance.choice(self.places)
        acts: list[tuple[Any, Callable[[Any], Awaitable[None]]]] = [
            (person, self.revoke), (person, self.log_in_and_out), (person, self.disable),
            (person, self.new_secret), (person, self.change_role), (place, self.change_member),
            (place, self.delete),
        ]  # fmt: skip
        subject, act = self.chance.choice(acts)
        async with subject.busy:
            await act(subject)
            if isinstance(subject, Person) and not self._living(subject):
                await self.give(subject)

    def _living(self, person: Person) -> list[Shown]:
        return [each for each in person.tokens if each.right.granted is not None]

    def _end_tokens(self, shown: Sequence[Shown], kind: str) -> None:
        for each in shown:
            each.right.kind = kind
            each.right.end()

    async def revoke(self, person: Person) -> None:
        """One access token."""
        living = [each for each in self._living(person) if each.id]
        if len(living) < TOKENS:
            await self.give(person)
        if not living:
            return
        shown = self.chance.choice(living)
        shown.right.begin()
        await self.root("DELETE", f"/admin/tokens/{shown.id}")
        self._end_tokens([shown], "token revoked")
        self.record.revocations["token revoked"] += 1

    async def log_in_and_out(self, person: Person) -> None:
        """A login by the secret, used a little, and its end."""
        body = {"user": person.name, "secret": person.secret}
        status, told = await self.ask("POST", "/session", "", body)
        if status != 201:
            assert status in STATUSES_OF_TROUBLE, (status, told)
            return
        shown = Shown(told["token"], person.role)
        shown.right.grant()
        person.tokens.append(shown)
        shown.right.begin()
        status, told = await self.ask("DELETE", "/session", shown.token)
        if status == 204:
            self._end_tokens([shown], "logout")
            self.record.revocations["logout"] += 1

    async def disable(self, person: Person) -> None:
        """Keep the user out, and let them in again: what they had stays ended."""
        ended = self._living(person)
        for right in [person.is_in, *(each.right for each in ended)]:
            right.begin()
        await self.root("PATCH", f"/admin/users/{person.name}", {"disabled": True})
        person.is_in.end()
        self._end_tokens(ended, "user disabled")
        self.record.revocations["user disabled"] += 1
        if self.chance.random() < 0.5:
            await asyncio.sleep(self.chance.uniform(0, 2.5))
        person.is_in.begin()
        await self.root("PATCH", f"/admin/users/{person.name}", {"disabled": False})
        person.is_in.grant()

    async def new_secret(self, person: Person) -> None:
        """Another secret, by the administrator: every token ends, the old secret counts no more."""
        ended, fresh = self._living(person), f"secret {self.chance.random()}"
        for right in [person.old, *(each.right for each in ended)]:
            right.begin()
        await self.root("PATCH", f"/admin/users/{person.name}", {"secret": fresh})
        person.former, person.secret = person.secret, fresh
        person.old.end()
        self._end_tokens(ended, "password changed")
        self.record.revocations["password changed"] += 1

    async def change_role(self, person: Person) -> None:
        """Another role everywhere."""
        role = self.chance.choice(ROLES)
        before = {name: right.granted is not None for name, right in person.reaches.items()}
        after = {name: ROLES.index(role) >= ROLES.index(name) for name in person.reaches}
        changed = [name for name in before if before[name] != after[name]]
        for name in changed:
            person.reaches[name].begin()
        await self.root("PATCH", f"/admin/users/{person.name}", {"role": role})
        person.role = role
        for name in changed:
            if after[name]:
                person.reaches[name].grant()
            else:
                person.reaches[name].end()
        self.record.revocations["role lowered"] += any(before[name] for name in changed)

    async def change_member(self, place: Place) -> None:
        """Members come and go."""
        members = {person.name for person in self.chance.sample(self.people, 3)}
        changed = {
            name: right
            for name, right in place.members.items()
            if (right.granted is not None) != (name in members)
        }
        for right in changed.values():
            right.begin()
        body = {"members": dict.fromkeys(sorted(members), "submitter")}
        await self.root("PATCH", f"/admin/namespaces/{place.name}", body)
        for name, right in changed.items():
            if name in members:
                right.grant()
            else:
                right.end()
                self.record.revocations["membership removed"] += 1

    async def delete(self, place: Place) -> None:
        """The function and the namespace go; later they are there again, with other members."""
        rights = [place.exists, *place.members.values()]
        for right in rights:
            right.begin()
        await self.root("DELETE", f"/admin/functions/{place.name}/noop")
        await self.root("DELETE", f"/admin/namespaces/{place.name}")
        for right in rights:
            right.end()
        self.record.revocations["namespace deleted"] += 1
        await asyncio.sleep(self.chance.uniform(1, 2.5))
        for right in rights:
            right.begin()
        await self.found(place)

    # --- using

    async def use_something(self) -> None:
        """One request of somebody, with any token they ever had; judged by what was known when it went out."""
        person, place = self.chance.choice(self.people), self.chance.choice(self.places)
        if person.former and self.chance.random() < 0.01:
            await self._use_old_secret(person)
            return
        if not person.tokens:
            return
        shown = self.chance.choice(person.tokens)
        member = place.members.get(person.name)
        if member is None:
            return
        method, path, rights, body = self._request(person, place, member)
        # Who may be an administrator may be let in without being a member: then nothing says that they must be.
        by_rank = member not in rights and place.exists in rights
        enough = all(person.reaches[role] not in rights for role in beyond(shown.role))
        sent = Sent(shown.right, *rights, is_sure=enough and not by_rank)
        status, _ = await self.ask(method, path, shown.token, body)
        self.record.note(sent, status, f"{person.name}: {method} {path}")

    def _request(
        self, person: Person, place: Place, member: Right
    ) -> tuple[str, str, list[Right], Any]:
        """Method, path, what it takes, body."""
        kind = self.chance.randrange(6)
        is_admin = person.reaches["admin"]
        in_it = [place.exists]
        if is_admin.is_over(time.monotonic()):  # an administrator is in everywhere
            in_it.append(member)
        requests: list[tuple[str, str, list[Right], Any]] = [
            ("GET", "/session", [], None),
            ("GET", "/queues/dead-letters", [person.reaches["operator"]], None),
            ("GET", "/admin/users?limit=1", [is_admin], None),
            ("GET", f"/admin/namespaces/{place.name}", in_it, None),
            ("GET", f"/admin/functions/{place.name}/noop", in_it, None),
            (
                "POST", "/jobs", [*in_it, person.reaches["submitter"]],
                {"function": f"{place.name}/noop"},
            ),
        ]  # fmt: skip
        return requests[kind]

    async def _use_old_secret(self, person: Person) -> None:
        sent = Sent(person.old)
        body = {"user": person.name, "secret": person.former}
        status, _ = await self.ask("POST", "/session", "", body)
        self.record.note(sent, status, f"{person.name}: login with the old secret")

    # --- all of it

    async def run(self, *, seconds: float = 0.0, each: int = 0, deadline: float = 60.0) -> Record:
        """Change and use, until the time is over, or each kind of end was met by so many later requests.

        Args:
            seconds: How long; 0: until `each`.
            each: Later refusals of each of KINDS.
            deadline: When to give up waiting for `each`, in seconds.
        """
        stop = time.monotonic() + (seconds or deadline)

        def goes_on() -> bool:
            enough = bool(each) and all(self.record.refused_later[kind] >= each for kind in KINDS)
            return time.monotonic() < stop and not enough

        async def again(act: Callable[[], Awaitable[None]], pause: float) -> None:
            while goes_on():
                await act()
                await asyncio.sleep(pause)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(2):
                tasks.create_task(again(self.change_something, 0.2))
            for _ in range(6):
                tasks.create_task(again(self.use_something, 0.0))
        return self.record


def beyond(role: str) -> tuple[str, ...]:
    """Roles above this one."""
    return ROLES[ROLES.index(role) + 1 :]


def missing(record: Record, each: int) -> Counter[str]:
    """Kinds of ends that too few later requests met."""
    return Counter({k: record.refused_later[k] for k in KINDS if record.refused_later[k] < each})
