"""A console whose terminal is gone ends."""

import os
import pty
import subprocess
import sys

import pytest

pytestmark = pytest.mark.serial

CODE = """
import signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_IGN)
from dts_tui.hangup import end_with_terminal
end_with_terminal(0)
print("ready", flush=True)
time.sleep(120)
"""


def test_a_lost_terminal_ends_it_even_where_hangups_are_ignored() -> None:
    """Neither a full queue of what nobody reads nor a descriptor at its end keeps the process."""
    master, slave = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", CODE], stdin=slave, stdout=slave)
    try:
        os.close(slave)
        said = b""
        # The whole line: what is still being written when the other end goes fails.
        while not said.endswith(b"\n"):
            said += os.read(master, 100)
        assert b"ready" in said
        assert process.poll() is None
        os.close(master)
        assert process.wait(60) == 129
    finally:
        process.kill()
        process.wait()
