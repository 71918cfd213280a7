"""Mail: a test of it."""

from dts_core.clients.describe import Request, write
from dts_core.names import new_id
from dts_core.views import MailTest


def send_test_mail(group: str = "administrators") -> Request[MailTest]:
    """Have a group mailed a test; the job that it answers with says what became of it."""
    return write("POST", "/admin/mail/test", MailTest, {"group": group}, key=new_id())
