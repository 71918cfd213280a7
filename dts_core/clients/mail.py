"""`admin.mail`: whether mail works."""

from dts_core.clients import calls
from dts_core.clients.collections import AsyncGroup, SyncGroup
from dts_core.clients.describe import call


class MailCalls:
    """A test of mail."""

    test = call(calls.send_test_mail)


class Mail(MailCalls, AsyncGroup):
    """Mail, on the loop."""


class SyncMail(MailCalls, SyncGroup):
    """Mail, blocking."""
