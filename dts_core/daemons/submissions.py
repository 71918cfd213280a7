"""Jobs by AMQP, for programs that know nothing of dts: a message in, the job's end as the answer.

    queue          submit
    headers        authorization: Bearer TOKEN; for a raw body also function: NAMESPACE/NAME
    body           the JSON of POST /jobs; with the header `function` any bytes, which are its one argument
    message_id     makes it safe to send the same message again
    reply_to       where the answer goes, with the same correlation_id: the job as JSON, or a problem as JSON

The answer comes when the job has ended. A delivery is acked after its answer was published, so that a server that dies
meanwhile is followed by another, which finds the same job by its message_id.
"""

import base64
import hashlib
import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec

from dts_core.brokers.base import SUBMIT, Broker, Delivery, Message, Outgoing
from dts_core.brokers.consumer import Consumer
from dts_core.errors import (
    BrokerError,
    BrokerUnavailable,
    CodecError,
    DtsError,
    InvalidInput,
    StoreUnavailable,
    TooLarge,
    Unauthenticated,
)
from dts_core.model import ARGS_MAX, Job
from dts_core.services.access import Caller
from dts_core.services.jobs import WAIT_MAX_SECONDS, Jobs
from dts_core.services.sessions import Sessions
from dts_core.states import FINAL
from dts_core.text import clean
from dts_core.views import Problem, SubmitRequest, job_view

__all__ = ["Submissions"]

JSON: Final = "application/json"
_SLACK: Final = 64 << 10
log = logging.getLogger(__name__)


class Submissions(Consumer[bytes]):
    """Consumes `submit`.

    Args:
        broker: Where the messages come.
        jobs: Accepts and watches the jobs.
        sessions: Knows whose token it is.
        may_answer: Whether a name of `reply_to` leads to a caller's own queue, and not into one of ours.
        wait_seconds: Longest wait for a job's end; then it is answered as it stands.
        prefetch: Most callers that wait here.
    """

    name = "submissions"
    queue = SUBMIT
    message_class = None

    def __init__(
        self,
        broker: Broker,
        jobs: Jobs,
        sessions: Sessions,
        *,
        may_answer: Callable[[str], bool],
        wait_seconds: float,
        prefetch: int = 100,
    ) -> None:
        super().__init__(broker, prefetch=prefetch)
        self._jobs = jobs
        self._sessions = sessions
        self._may_answer = may_answer
        self._wait_seconds = wait_seconds

    async def operate(self, message: bytes, delivery: Delivery) -> None:
        """Accept the job, wait for its end and answer.

        What is refused is answered and logged, and no dead letter: it holds a token.

        Raises:
            StoreUnavailable: It is tried again. So with BrokerUnavailable.
        """
        question = delivery.message
        try:
            caller = await self._sessions.authenticate(_token(question), source="amqp")
            job = await self._submit(caller, question)
            if question.reply_to:
                job = await self._to_its_end(caller, job)
        except (StoreUnavailable, BrokerUnavailable):
            raise
        except DtsError as error:
            log.warning("a submission by AMQP is refused: %s", clean(error.message, 300))
            await self._answer(question, _problem(error), "Problem")
        else:
            await self._answer(question, job_view(job), "Job")

    async def _submit(self, caller: Caller, question: Message) -> Job:
        digest = hashlib.sha256(question.body).digest()
        key = question.message_id
        return await self._jobs.submit(caller, _request(question), key=key, digest=digest)

    async def _to_its_end(self, caller: Caller, job: Job) -> Job:
        left = self._wait_seconds
        while left > 0 and job.state not in FINAL:
            job = await self._jobs.get(caller, job.id, wait_seconds=min(left, WAIT_MAX_SECONDS))
            left -= WAIT_MAX_SECONDS
        return job

    async def _answer(self, question: Message, content: Any, kind: str) -> None:
        if not question.reply_to:
            return
        if not self._may_answer(question.reply_to):
            log.warning("no answer to %s, which is no caller's queue", clean(question.reply_to, 80))
            return
        answer = Message(
            msgspec.json.encode(content),
            type=kind,
            content_type=JSON,
            correlation_id=question.correlation_id,
        )
        try:
            await self.broker.publish([Outgoing(question.reply_to, answer)])
        except BrokerUnavailable:
            raise
        except BrokerError as error:  # the caller has gone
            log.info("an answer could not be sent: %s", error)


def _token(question: Message) -> str:
    said = question.headers.get("authorization")
    scheme, _, token = said.partition(" ") if isinstance(said, str) else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated(
            "the header authorization is missing.", advice="Write it as: Bearer TOKEN."
        )
    return token.strip()


def _request(question: Message) -> SubmitRequest:
    """What is asked for.

    Raises:
        DtsError: It makes no sense.
    """
    body, function = question.body, question.headers.get("function")
    if len(body) > ARGS_MAX + _SLACK:
        raise TooLarge(f"the submission has {len(body)} bytes, more than {ARGS_MAX + _SLACK}.")
    if isinstance(function, str):
        return SubmitRequest(
            function=function,
            args=msgspec.Raw(msgspec.json.encode([_argument(body)])),
            priority=question.priority,
        )
    try:
        return msgspec.json.decode(body, type=SubmitRequest)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the request does not fit: {clean(str(error), 200)}.") from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise CodecError(
            "the body is not JSON.",
            advice="Send the JSON of POST /jobs, or name the function in the header `function`.",
        ) from error


def _argument(body: bytes) -> Any:
    """Text as text; other bytes as an object that says how they are written."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


def _problem(error: DtsError) -> Problem:
    return Problem(
        title=error.code,
        status=error.status,
        detail=clean(error.message, 2000),
        code=error.code,
        advice=clean(error.advice, 500),
        fields=dict(error.fields) if isinstance(error, InvalidInput) else {},
    )
