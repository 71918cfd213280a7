"""The route of mail: a test."""

from dts_core.api.decoding import idempotency_key
from dts_core.api.endpoint import Call, NoQuery, Permission, Routes
from dts_core.services.mail import post_test
from dts_core.views import MailTest, MailTestRequest

routes = Routes()


@routes.add(
    "POST", "/admin/mail/test", Permission.ADMIN, body=MailTestRequest, answer=MailTest, status=201
)
async def send_test_mail(call: Call[NoQuery, MailTestRequest]) -> MailTest:
    """Have a group mailed a test, by a job whose result says what became of it.

    The header Idempotency-Key makes it safe to send the same request again.
    """
    group, key = call.body.group, idempotency_key(call.request)
    return MailTest(
        job=await post_test(call.services.jobs, call.caller, group, key=key), group=group
    )
