"""How whoever starts a job takes part in its logins, as the job's arguments say it."""

from collections.abc import Mapping
from typing import Any, Final

from dts_core.errors import InvalidInput
from dts_core.model import Job
from dts_core.text import clean
from dts_core.views.ssh import SshLogin, SshPerson

__all__ = ["again_arguments", "person_arguments"]

NAMES: Final = ("ask", "own_keys")


def person_arguments(request: SshPerson) -> dict[str, Any]:
    """What a request says of it; nothing where nobody takes part.

    Raises:
        InvalidInput: It names another user, and nobody takes part.
    """
    told: dict[str, Any] = {"ask": True} if request.ask else {}
    if request.own_keys:
        told["own_keys"] = request.own_keys
    user = request.user if isinstance(request, SshLogin) else ""
    if user and not told:
        raise InvalidInput(
            "another user is logged in as by a person: with answers or keys of their own.",
            fields={"user": "give ask or own_keys too"},
        )
    return told | ({"user": user} if user else {})


def again_arguments(job: Job, given: Mapping[str, Any], request: SshPerson) -> dict[str, Any]:
    """Arguments of a job that is done again: who takes part is said anew, as whom they log in is not.

    Raises:
        InvalidInput: The job logged in as another user, and now nobody takes part.
    """
    told = person_arguments(request)
    if given.get("user") and not told:
        raise InvalidInput(
            f"job {job.id} logged in as {clean(given['user'], 64)}, by a person.",
            fields={"ask": "give ask or own_keys"},
            advice="Run it again with --ask or --as-me.",
        )
    return {name: value for name, value in given.items() if name not in NAMES} | told
