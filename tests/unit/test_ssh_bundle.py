"""What travels to a far host before the first call."""

import ast
import json
import marshal  # noqa: TID251 - what is sent is compared, nothing is read
import os
import subprocess
import sys
from pathlib import Path
from types import CodeType

import pytest

import dts_core.runner
from dts_core.children.orders import OrderFrames
from dts_core.runner import frames
from dts_core.ssh.bootstrap import bundle, packed, stage, start_argv
from dts_core.ssh.lean import lean, without_columns
from tests.support.sshcalls import far_call

RUNNER = sorted(Path(dts_core.runner.__file__).parent.glob("*.py"))


def _told(source: str) -> str:
    """The module as the interpreter sees it: lines included, docstrings not."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = ""
        for name in ("col_offset", "end_col_offset", "end_lineno"):
            if hasattr(node, name):
                setattr(node, name, 0)
    return ast.dump(tree, include_attributes=True)


def test_a_lean_source_is_the_same_program() -> None:
    """Without comments and docstrings the code and its line numbers stay, in every module of the runner."""
    assert RUNNER
    for file in RUNNER:
        source = file.read_text("utf-8")
        assert _told(lean(source)) == _told(source), file
        assert "# " not in lean(source).replace('"# ', ""), file


def test_texts_of_the_program_stay() -> None:
    """Only statements that are nothing but a text go."""
    source = '"""Doc."""\nx = """# no\ncomment"""  # one\n\n\ndef f():\n    """Two\n    lines."""\n    return "a"\n'
    found: dict[str, object] = {}
    exec(lean(source), found)  # the point is that it runs
    assert found["x"] == "# no\ncomment"
    assert lean(source).count("\n") == source.count("\n")
    assert "Doc" not in lean(source)
    assert "lines" not in lean(source)


def test_what_is_sent_first_is_small() -> None:
    """It fits into the first flight of a TCP connection, or nearly; for a plain command much less is sent."""
    options = {"mark": "m", "child": {"host": "h", "lines": 10, "memory": 0}}
    whole = sum(len(file.read_bytes()) for file in RUNNER)
    assert len(bundle(options)) < 20_000
    assert len(bundle(options)) < whole / 4
    assert len(bundle({"mark": "m", "argv": ["true"], "stdin": b""})) < 5_000


def test_a_far_interpreter_loads_only_what_it_needs() -> None:
    """A function that returns at once pulls in none of the library's larger modules, and none of ours for rare ends."""
    large = (
        "asyncio",
        "ctypes.util",
        "inspect",
        "json",
        "logging",
        "re",
        "signal",
        "threading",
        "typing",
    )
    rare = ("bundle", "culprit", "family", "package", "records")
    names = [*large, *(f"dts_core.runner.{name}" for name in rare)]
    code = f"""
import sys
sys.path.insert(0, {str(RUNNER[0].parents[2])!r})
import types
package = types.ModuleType("dts_core.runner"); package.__path__ = [{str(RUNNER[0].parent)!r}]
sys.modules["dts_core.runner"] = package
sys.modules["dts_core"] = types.ModuleType("dts_core")
from importlib import import_module
for name in ("far", "child", "sync_child"):
    import_module("dts_core.runner." + name)
from dts_core.runner.outcome import parse_arguments, result_frame
print(parse_arguments(b'[1, "a"]', b'{{"b": [2.5, null]}}'), file=sys.stderr)
result_frame(1, {{"a": [1, "b"]}}, 1000)
import os
os.write(1, repr([name for name in {names!r} if name in sys.modules]).encode())
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stderr == "([1, 'a'], {'b': [2.5, None]})\n"
    assert json.loads(done.stdout.replace("'", '"')) == []


FAR = """
import sys
from dts_core import job

def main(word):
    code = sys.modules["dts_core.runner.outcome"].result_frame.__code__
    if word:
        job.progress(word)
    return list(code.co_positions())[1][2] is not None
"""


class _Orders(OrderFrames):
    """What a far interpreter is told, kept."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""

    def _send(self, data: bytes) -> None:
        self.sent += data


def _answered(data: bytes, word: str = "") -> bytes:
    """What an interpreter here answers to a call, when it is begun with `data`."""
    orders = _Orders()
    orders.begin(1, far_call(FAR, word))
    argv = start_argv(sys.executable)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(data + orders.sent)
        process.stdin.flush()
        said = b""
        while True:
            more = os.read(process.stdout.fileno(), 1 << 16)
            said += more
            for kind, _, body in frames.split(said.partition(b"m:")[2], 1 << 20)[0]:
                if kind in (frames.RESULT, frames.FAILED):
                    process.stdin.close()
                    return body
            assert more, said


OPTIONS = {"mark": "m", "child": {"host": "h", "lines": 10, "memory": 0}}


def test_a_near_host_gets_code_beside_the_sources() -> None:
    """An interpreter of our own version compiles nothing then, and says the same where something fails."""
    assert _answered(bundle(OPTIONS)) == b"true"
    assert _answered(bundle(OPTIONS, near=True)) == b"false"
    failures = [json.loads(_answered(bundle(OPTIONS, near=near), "x")) for near in (False, True)]
    assert failures[0]["message"] == failures[1]["message"] != ""
    assert "test/far@" in failures[1]["traceback"]


def test_code_of_another_version_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sources beside it are compiled, whatever it is."""
    monkeypatch.setattr("importlib.util.MAGIC_NUMBER", b"else")
    source = (
        "import os\ndef main(options):\n    os.write(1, b'%d' % bool(main.__code__.co_linetable))\n"
    )
    sent = packed(stage("a.b", {"c": source}, entry="c"), {}, near=True)
    argv = start_argv(sys.executable)
    done = subprocess.run(argv, input=sent, stdout=subprocess.PIPE, check=False)
    assert done.stdout == b"1"


def test_code_without_columns_keeps_its_lines() -> None:
    """Of every instruction, in every module of the runner."""
    long = leaner = 0
    for file in RUNNER:
        todo = [compile(file.read_text("utf-8"), file.name, "exec", dont_inherit=True)]
        lean_ones = [without_columns(todo[0])]
        long += len(marshal.dumps(todo[0]))
        leaner += len(marshal.dumps(lean_ones[0]))
        while todo:
            code, found = todo.pop(), lean_ones.pop()
            assert [each[0] for each in found.co_positions()] == [
                each[0] for each in code.co_positions()
            ]
            assert {each[2] for each in found.co_positions()} == {None}
            todo += [each for each in code.co_consts if isinstance(each, CodeType)]
            lean_ones += [each for each in found.co_consts if isinstance(each, CodeType)]
    assert leaner < long
