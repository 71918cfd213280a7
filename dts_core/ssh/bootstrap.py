"""What a far host is given to run: one line for its shell, and the runner's own sources through the channel."""

import __future__

import importlib.util
import marshal  # noqa: TID251 - only written here: code of ours, for a far interpreter
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import dts_core.runner
from dts_core.ssh.lean import lean, without_columns
from dts_core.ssh.quoting import command_line

__all__ = ["UNFIT", "Stage", "bundle", "packed", "stage", "start_argv", "start_line"]

UNFIT: Final = "dts-no-python"
"""What the line says on standard error where no interpreter fits."""
_FALLBACKS: Final = ("python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10",
                     "python3.9", "/usr/bin/python3", "/usr/local/bin/python3",
                     "/usr/libexec/platform-python")  # fmt: skip
_HERE_ALONE: Final = ("__init__", "__main__", "async_child", "keeper")
"""Of the runner, what only children on our own side load."""
_HEAD: Final = "import marshal,zlib\nO=%r\nD=marshal.loads(zlib.decompress(r(%d)))\nexec(D[0])\n"
"""Runs in the loader: what this one host is told, then what all are."""
_MARSHAL: Final = 4
"""The form of plain values that any Python since 3.4 reads."""
_FOR_COMMANDS: Final = ("plain", "hardening", "family", "guard", "far")

# No single quote, backslash or exclamation mark in either, so that any shell of a login carries them unchanged.
_SHELL: Final = (
    "l=$0; while [ $# -gt 0 ]; do p=$1; shift; "
    'command -v "$p" >/dev/null 2>&1 && exec "$p" -I -S -c "$l" "$l" "$@"; '
    f"done; echo {UNFIT} >&2; exit 127"
)
# The interpreter that is found first may be too old, even for the words of a later one: it hands on to the next.
_LOADER: Final = """
import os,sys
if sys.version_info<LEAST:
    v=sys.argv
    for n in range(2,len(v)):
        try:
            os.execvp(v[n],[v[n],"-I","-S","-c",v[1],v[1]]+v[n+1:])
        except OSError:
            pass
    os.write(2,b"UNFIT")
    os._exit(127)
def r(n):
    b=b""
    while len(b)<n:
        d=os.read(0,n-len(b))
        if not d:
            os._exit(1)
        b+=d
    return b
exec(r(int(r(10))))
""".replace("UNFIT", UNFIT)
# What is executed there: modules from memory, under their real names, and then `ENTRY.main`.
_STAGE: Final = """
import sys
S=D[1]
try:
    from _frozen_importlib_external import MAGIC_NUMBER as m
except ImportError:
    m=b""
C=D[2].get(m,{})
P="PACKAGE"
N=len(P)+1
class F:
    def find_spec(self,name,path=None,target=None):
        if name[:N]==P+"." and name[N:] in S:
            return type(sys.__spec__)(name,self,origin="/<dts>/"+name[N:]+".py")
    def create_module(self,spec):
        return None
    def exec_module(self,module):
        name=module.__name__[N:]
        module.__file__="/<dts>/"+name+".py"
        code=C.get(name)
        if code:
            code=marshal.loads(code)
        else:
            code=compile(S[name],module.__file__,"exec",dont_inherit=True)
        exec(code,module.__dict__)
n=""
for w in P.split("."):
    n=n+"."+w if n else w
    sys.modules[n]=type(sys)(n)
    sys.modules[n].__path__=[]
sys.meta_path.insert(0,F())
from PACKAGE import ENTRY
ENTRY.main(O)
"""


class Stage(NamedTuple):
    """What all hosts are sent, in two forms."""

    sources: bytes
    """A third as long: for where a round trip takes longer than a compiler."""
    compiled: bytes
    """The same, and code beside it for interpreters of our own version."""


def start_argv(python: str, least: tuple[int, int] = (3, 9)) -> list[str]:
    """The command that finds an interpreter and lets it read the bundle from standard input.

    Args:
        python: A name or path; `python3` stands for any that fits, others for themselves alone.
        least: The oldest version that fits.
    """
    candidates: Sequence[str] = _FALLBACKS if python == "python3" else (python,)
    loader = _LOADER.replace("LEAST", f"({least[0]},{least[1]})")
    return ["sh", "-c", _SHELL, loader, *candidates]


def start_line(python: str) -> str:
    """The same as a line, for any Python from 3.9."""
    return "exec " + command_line(start_argv(python))


def bundle(options: dict[str, Any], *, near: bool = False) -> bytes:
    """What goes through the channel first. The channel protects it, and holds nothing secret on either side.

    Args:
        options: For `far.main`: `mark`, and `child` for calls, or `argv` and `stdin` for a command.
        near: Whether some more kilobytes are there in no time.
    """
    return packed(_runner(is_command="argv" in options), options, near=near)


def packed(stage: Stage, options: dict[str, Any], *, near: bool = False) -> bytes:
    """What one host is told, and the same for all behind it.

    Args:
        stage: Made by `stage`.
        options: Plain values for its `main`; nothing secret.
        near: As for `bundle`.
    """
    body = stage.compiled if near else stage.sources
    head = (_HEAD % (options, len(body))).encode("utf-8", "backslashreplace")
    return b"%010d" % len(head) + head + body


def stage(package: str, sources: Mapping[str, str], *, entry: str) -> Stage:
    """Modules of a package, to be kept in memory there, and a call of `main(options)` of one of them; compressed.

    Args:
        package: Its dotted name.
        sources: Name of a module -> its source.
        entry: The module whose `main` is called.
    """
    text = _STAGE.replace("PACKAGE", package).replace("ENTRY", entry)
    kept = {name: lean(source) for name, source in sources.items()}
    code = {name: _compiled(name, source) for name, source in kept.items()}
    forms: list[dict[bytes, dict[str, bytes]]] = [{}, {importlib.util.MAGIC_NUMBER: code}]
    return Stage(*(zlib.compress(marshal.dumps((text, kept, form), _MARSHAL), 9) for form in forms))


def _compiled(name: str, source: str) -> bytes:
    # The statement that asks for late annotations would load a module there, for what the compiler is told here.
    late = "from __future__ import annotations\n"
    flags = __future__.annotations.compiler_flag if late in source else 0
    code = compile(
        source.replace(late, "\n"), f"/<dts>/{name}.py", "exec", flags, dont_inherit=True
    )
    return marshal.dumps(without_columns(code))


@cache
def _runner(*, is_command: bool) -> Stage:
    folder = Path(dts_core.runner.__file__).parent
    sources = {
        file.stem: file.read_text("utf-8")
        for file in sorted(folder.glob("*.py"))
        if file.stem not in _HERE_ALONE and (file.stem in _FOR_COMMANDS or not is_command)
    }
    return stage("dts_core.runner", sources, entry="far")
