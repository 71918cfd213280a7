"""Ends what user code left running when the worker dies without a word: `python -I -S keeper.py TOKEN`.

Standard input is a pipe that only the worker writes to: `+PID` for a child that began, `-PID` for one that ended. When
it closes, every process of those sessions ends, and every one that carries the token in its environment.
"""

import os
import signal
import sys
import time

VARIABLE = b"DTS_CHILD="
ROUNDS = 100
QUIET_ROUNDS = 3
ROUND_SECONDS = 0.02


def main() -> None:
    """Listen until the pipe closes, then clean up."""
    token = VARIABLE + sys.argv[1].encode("ascii")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sessions = listen()
    quiet = 0
    for _ in range(ROUNDS):
        found = find(sessions, token)
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        quiet = 0 if found else quiet + 1
        if quiet == QUIET_ROUNDS:
            return
        time.sleep(ROUND_SECONDS)


def listen() -> set[int]:
    """The sessions that are open when the worker's end of the pipe is gone."""
    sessions: set[int] = set()
    rest = b""
    while True:
        data = os.read(0, 65536)
        if not data:
            return sessions
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line[:1] == b"+":
                sessions.add(int(line[1:]))
            else:
                sessions.discard(int(line[1:]))


def find(sessions: set[int], token: bytes) -> set[int]:
    """Living processes of the sessions, or with the token. Where there is no /proc: the sessions' leaders."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return {pid for pid in sessions if is_alive(pid)}
    return {int(name) for name in names if name.isdigit() and belongs(name, sessions, token)}


def belongs(name: str, sessions: set[int], token: bytes) -> bool:
    """Whether the process of this folder of /proc is to end; a zombie has ended already."""
    try:
        with open(f"/proc/{name}/stat", "rb") as stream:
            stat = stream.read()
        fields = stat[stat.rindex(b")") + 2 :].split()
        if fields[0] in (b"Z", b"X"):
            return False
        if int(fields[3]) in sessions:
            return True
        with open(f"/proc/{name}/environ", "rb") as stream:
            return token in stream.read().split(b"\0")
    except OSError:
        return False


def is_alive(pid: int) -> bool:
    """Whether there is a process of this id."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
