"""Steps of a plan, tried on the server as dry runs before anything is done, and then done."""

import secrets as randomness
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dts_core.declared import Key, Misfit, Plan, Step
from dts_core.errors import ApiError
from dts_core.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dts_core.clients import SyncAdminClient
    from dts_core.views import Written

RANDOM_BYTES: Final = 32
CONFLICT: Final = 409
UNFIT: Final = 422


class Hands:
    """What does steps.

    Args:
        client: Of an administrator.
        secrets: Document -> its secret fields.
    """

    def __init__(
        self, client: "SyncAdminClient", secrets: "Mapping[Key, Mapping[str, str]]"
    ) -> None:
        self._client = client
        self._secrets = secrets

    def tried(self, plan: Plan) -> tuple[Plan, list[Misfit]]:
        """The plan with what the server says of each step: how it changes the document, and what is wrong.

        A step that would change nothing, since the server writes a value in another form, is left out.

        Raises:
            ApiError: The server refuses for another reason than a wrong field, or is not there.
        """
        steps: list[Step] = []
        wrong: list[Misfit] = []
        unchanged = plan.unchanged
        for step in plan.steps:
            found, misfits = (step, []) if step.verb == "delete" else self._try(step)
            wrong += misfits
            if found is not None:
                steps.append(found)
            elif not misfits:
                unchanged += 1
        return msgspec.structs.replace(plan, steps=steps, unchanged=unchanged), wrong

    def do(self, step: Step) -> "Written":
        """Do one step. Raises ApiError: it was changed since the plan was made, or the server refuses."""
        documents = self._client.collection(step.key.collection)
        if step.verb == "delete":
            return documents.delete(step.key.id, revision=step.revision)
        return self._write(step, step.fields, dry_run=False)

    def _try(self, step: Step) -> tuple[Step | None, list[Misfit]]:
        # Another virtual host may come only with this plan: whether the ways fit was looked at already.
        fields = {name: value for name, value in step.fields.items() if name != "jump"}
        try:
            written = self._write(step, fields, dry_run=True)
        except ApiError as error:
            wrong = {name: why for name, why in error.fields.items() if not _comes(step, name, why)}
            if error.answer_status == UNFIT and error.fields:
                misfits = [
                    Misfit(step.file, clean(name, 120), clean(why, 400))
                    for name, why in wrong.items()
                ]
                return None if wrong else step, misfits
            if error.answer_status == CONFLICT and step.verb == "change":
                return (
                    step,
                    [],
                )  # what another step puts right first; else it is told when it is done
            raise
        if step.verb == "create":
            return step, []
        changes: dict[str, Any] = dict(written.changes)
        if "jump" in step.fields:
            changes["jump"] = step.changes["jump"]
        if not changes:
            return None, []
        if step.key.collection == "functions":
            changes = dict(step.changes)
        return msgspec.structs.replace(step, changes=changes), []

    def _write(self, step: Step, fields: "Mapping[str, Any]", *, dry_run: bool) -> "Written":
        documents = self._client.collection(step.key.collection)
        given = self._secrets.get(step.key, {})
        body = dict(fields) | {name: given[name] for name in step.secrets}
        if step.verb == "change":
            return documents.update(step.key.id, dry_run=dry_run, revision=step.revision, **body)
        if step.key.collection == "users" and "secret" not in body:
            # Known to nobody, and the user is disabled.
            body["secret"] = randomness.token_urlsafe(RANDOM_BYTES)
        return documents.add(step.key.id, dry_run=dry_run, **body)


def _comes(step: Step, field: str, why: str) -> bool:
    """Whether what is missing is there before the step is done: the namespace of a function."""
    return (step.key.collection, field, why) == ("functions", "_id", "no such namespace")
