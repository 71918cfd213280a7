"""Who asks, and what they may."""

from collections.abc import Mapping
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


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """One user asking, in one request."""

    user: str
    role: Role
    memberships: Mapping[str, str] = _NOTHING
    """namespace -> role there, of the namespaces the user is a member of."""
    token: str = ""
    """Id of the token that was shown."""
    request_id: str = ""
    source: str = ""
    """Address the request came from."""

    @property
    def is_admin(self) -> bool:
        """Whether everything is allowed."""
        return self.role is Role.ADMIN

    def role_in(self, namespace: str) -> Role | None:
        """The role in a namespace; None for who is no member."""
        if self.is_admin:
            return Role.ADMIN
        return ROLES.get(self.memberships.get(namespace, ""))

    def sees_namespace(self, namespace: str) -> bool:
        """Whether the namespace exists for this user."""
        return self.is_admin or namespace in self.memberships

    def sees(self, job: Job) -> bool:
        """Whether the job exists for this user: their own, or of a namespace they are a member of."""
        return (
            self.is_admin
            or job.submitter == self.user
            or job.function.partition("/")[0] in self.memberships
        )

    def may_cancel(self, job: Job) -> bool:
        """Whether this user may stop a job that they see."""
        if job.submitter == self.user or self.role >= Role.OPERATOR:
            return True
        there = self.role_in(job.function.partition("/")[0])
        return there is not None and there >= Role.OPERATOR


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
