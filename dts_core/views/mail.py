"""Mail, as far as it is asked for by hand."""

from dts_core.views.base import View


class MailTestRequest(View, frozen=True, forbid_unknown_fields=True):
    """Whom to send a test to."""

    group: str = "administrators"


class MailTest(View, frozen=True):
    """A test that was asked for; its outcome is the result of the job."""

    job: str
    group: str
