"""What travels to a far host before the first call."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import dts_core.runner
from dts_core.ssh.bootstrap import bundle
from dts_core.ssh.lean import lean

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
