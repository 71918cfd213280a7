"""Who asks, and what they may."""

from collections.abc import Collection, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

import msgspec

from dts_core.errors import Forbidden, InvalidInput
from dts_core.model import Job

DTS: Final = "dts"
"""The namespace of the control side's own functions: only an administrator may call them."""
EVERYBODY: Final = "*"
"""As a member of a namespace: every user."""
_NOTHING: Mapping[str, str] = MappingProxyType({})


class Role(IntEnum):
    """What a user is, each including what stands before it."""

    VIEWER = 1
    SUBMITTER = 2
    OPERATOR = 3
    ADMIN = 4


ROLES: Final = {role.name.lower(): role for role in Role}


def parse_role(text: str) -> Role:
    """The role of that name.

    Raises:
        InvalidInput: There is none.
    """
    role = ROLES.get(text)
    if role is None:
        raise InvalidInput(
            f"{text[:40]!r} is no role.",
            fields={"role": f"one of {', '.join(ROLES)}"},
            advice=f"Roles are {', '.join(ROLES)}.",
        )
    return role


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What a token allows at most; its user may be allowed less."""

    role: Role = Role.ADMIN
    namespaces: frozenset[str] | None = None
    """Only in these, and nothing that belongs to no namespace but to read it and to submit; None: no such limit."""

    def covers(self, other: "Scope") -> bool:
        """Whether the other one allows nothing that this one does not."""
        if other.role > self.role:
            return False
        if self.namespaces is None:
            return True
        return other.namespaces is not None and other.namespaces <= self.namespaces

    def reaches(self, namespace: str) -> bool:
        """Whether the token counts in a namespace at all."""
        return self.namespaces is None or namespace in self.namespaces

    def lower(self, role: Role) -> Role:
        """The user's role everywhere, as far as the token allows it."""
        return min(role, self.role, Role.ADMIN if self.namespaces is None else Role.SUBMITTER)

    def narrow(
        self, role: Role, memberships: Mapping[str, str], known: Collection[str]
    ) -> Mapping[str, str]:
        """The user's roles in namespaces, as far as the token allows them.

        Args:
            role: The user's everywhere; an administrator is one in each of the `known` namespaces.
            memberships: namespace -> role there.
            known: Every namespace.
        """
        if self == FULL:
            return memberships
        held = dict.fromkeys(known, "admin") if role is Role.ADMIN else memberships
        return {
            namespace: min(ROLES[there], self.role).name.lower()
            for namespace, there in held.items()
            if there in ROLES and self.reaches(namespace)
        }


FULL: Final = Scope()
"""Of a login: whatever the user may do."""
SCOPES: Final = {
    "read": Role.VIEWER,
    "submit": Role.SUBMITTER,
    "operate": Role.OPERATOR,
    "admin": Role.ADMIN,
}


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """One user asking, in one request; `role` and `memberships` are what is left of theirs within the `scope`."""

    user: str
    role: Role
    memberships: Mapping[str, str] = _NOTHING
    """namespace -> role there, of the namespaces the user is a member of."""
    token: str = ""
    """Id of the token that was shown."""
    scope: Scope = FULL
    """Of that token."""
    is_program: bool = False
    """Whether it was an access token, and no login."""
    owner: Role | None = None
    """The user's role, of which the scope may leave less; None: the same as `role`."""
    request_id: str = ""
    source: str = ""
    """Address the request came from."""

    @property
    def is_admin(self) -> bool:
        """Whether everything is allowed."""
        return self.role is Role.ADMIN

    @property
    def sees_everything(self) -> bool:
        """Whether every namespace exists for this user: an administrator, by a token that may do less too."""
        return self.is_admin or (self.owner is Role.ADMIN and self.scope.namespaces is None)

    def role_in(self, namespace: str) -> Role | None:
        """The role in a namespace; None for who is no member."""
        if self.is_admin:
            return Role.ADMIN
        return ROLES.get(self.memberships.get(namespace, ""))

    def sees_namespace(self, namespace: str) -> bool:
        """Whether the namespace exists for this user."""
        return self.is_admin or namespace in self.memberships

    def operates_namespace(self, namespace: str) -> bool:
        """Whether the user may interfere there: an operator there, or one everywhere who sees the namespace."""
        there = self.role_in(namespace)
        return there is not None and max(there, self.role) >= Role.OPERATOR

    def sees(self, job: Job) -> bool:
        """Whether the job exists for this user: their own, or of a namespace they are a member of."""
        namespace = job.function.partition("/")[0]
        return (
            self.is_admin
            or (job.submitter == self.user and self.scope.reaches(namespace))
            or namespace in self.memberships
        )

    def may_cancel(self, job: Job) -> bool:
        """Whether this user may stop a job that they see."""
        namespace = job.function.partition("/")[0]
        if self.role >= Role.OPERATOR:
            return True
        if job.submitter == self.user and self.scope.reaches(namespace):
            return self.scope.role >= Role.SUBMITTER
        there = self.role_in(namespace)
        return there is not None and there >= Role.OPERATOR


def check_own_secret(caller: Caller) -> None:
    """Let pass who may change their own secret: who logged in with it.

    Raises:
        Forbidden: They show an access token.
    """
    if caller.is_program:
        raise Forbidden(
            "an access token may not change the secret of its user.",
            advice="Log in with `dts login`, and change it then.",
        )


def check_totals(caller: Caller) -> None:
    """Let pass who may read figures over all namespaces.

    Raises:
        Forbidden: They are no administrator, or show a token for some namespaces alone.
    """
    if not caller.sees_everything:
        raise Forbidden(
            f"user {caller.user} may not read figures over all namespaces.",
            advice="Ask an administrator for an access token of scope read; `dts status` has your own.",
        )


def check_submit(caller: Caller, namespace: str) -> None:
    """Let pass who may submit to the namespace.

    Raises:
        Forbidden: Names the user and what is missing.
    """
    if caller.is_admin:
        return
    if namespace == DTS:
        raise Forbidden(
            f"user {caller.user} may not call functions of namespace {DTS}/: role admin is missing.",
            advice="Ask an administrator to run it.",
        )
    there = caller.role_in(namespace)
    if caller.role < Role.SUBMITTER or there is None or there < Role.SUBMITTER:
        raise Forbidden(
            f"user {caller.user} may not submit to namespace {namespace}: "
            f"membership as submitter is missing.",
            advice="Ask an administrator to add you to the namespace.",
        )


def check_manage(caller: Caller, namespace: str) -> None:
    """Let pass who may change the functions of the namespace.

    Raises:
        Forbidden: Names the user and what is missing.
    """
    if caller.role_in(namespace) is not Role.ADMIN:
        raise Forbidden(
            f"user {caller.user} may not change functions of namespace {namespace}: role admin is missing.",
            advice="Ask an administrator, or to become admin of the namespace.",
        )
