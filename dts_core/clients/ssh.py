"""`admin.ssh`: commands and functions on many hosts reached by SSH."""

from dts_core.clients import calls
from dts_core.clients.collections import AsyncGroup, SyncGroup
from dts_core.clients.describe import call


class SshCalls:
    """Start them, follow their hosts, run them again on some."""

    start = call(calls.start_ssh)
    again = call(calls.ssh_again)
    hosts = call(calls.ssh_hosts)
    changes = call(calls.ssh_changes)
    output = call(calls.ssh_output)
    live = call(calls.ssh_live)
    groups = call(calls.ssh_groups)
    questions = call(calls.ssh_questions)
    answer = call(calls.answer_question)
    decline = call(calls.decline_question)


class Ssh(SshCalls, AsyncGroup):
    """Remote calls, on the loop."""


class SyncSsh(SshCalls, SyncGroup):
    """Remote calls, blocking."""
