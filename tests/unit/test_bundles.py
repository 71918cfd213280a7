"""Functions of several modules: packed from a folder, read by the server, refused where a name could do harm."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core.bundles import modules_of, read_source
from dts_core.errors import ConfigError, FunctionRefused
from dts_core.runner.bundle import FILES_MAX, BadBundle, entry_source, is_bundle, join, split
from dts_core.services import signature

MAIN = '''"""A report."""
from . import util
from types_ import Token

def main(n: int, key: Token) -> int:
    return util.add(n)
'''
FILES = {
    "main.py": MAIN,
    "util.py": "def add(n):\n    return n + 1\n",
    "types_.py": "from dts_core import Secret\nToken = Secret\n",
    "deep/er/thing.py": "X = 'ä'",
}


def folder_of(tmp_path: Path, files: dict[str, str] = FILES) -> Path:
    folder = tmp_path / "report"
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return folder


def bundle(files: dict[str, str]) -> bytes:
    return join({path: text.encode() for path, text in files.items()})


def test_a_folder_becomes_one_source(tmp_path: Path) -> None:
    """Its modules, whole, sorted, always as the same bytes; what is no module is left out and named."""
    folder = folder_of(tmp_path)
    (folder / "README.md").write_text("no module")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "main.pyc").write_bytes(b"\0")
    (folder / ".git").mkdir()
    (folder / ".git" / "hook.py").write_text("x")
    packed = read_source(folder)
    assert packed.left_out == ["README.md"]
    assert modules_of(packed.source) == FILES
    assert list(modules_of(packed.source)) == sorted(FILES)
    assert read_source(folder_of(tmp_path / "again")).source == packed.source
    windows = {path: text.replace("\n", "\r\n") for path, text in FILES.items()}
    assert read_source(folder_of(tmp_path / "windows", windows)).source == packed.source


def test_a_file_is_what_it_was(tmp_path: Path) -> None:
    """A single source goes on as the bytes of its file."""
    file = tmp_path / "one.py"
    file.write_bytes(b"def main():\r\n    return 1\r\n")
    assert read_source(file) == ("def main():\r\n    return 1\r\n", [])
    assert modules_of("def main(): pass") == {"": "def main(): pass"}


@given(st.dictionaries(st.sampled_from(["a.py", "b/c.py", "b/d.py", "e.py"]), st.binary()))
def test_whatever_is_in_files_comes_out_again(files: dict[str, bytes]) -> None:
    """Also text that looks like a head, and files without a last newline."""
    whole = {"main.py": b"file x.py 3\ndts bundle 1 x", **files}
    source = join(whole)
    assert is_bundle(source)
    assert split(source) == ("main.py", whole)
    assert entry_source(source) == whole["main.py"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("../util.py", "leads out"),
        ("a/../../util.py", "leads out"),
        ("./util.py", "leads out"),
        ("a//util.py", "leads out"),
        ("/etc/util.py", "absolute"),
        ("C:/util.py", "of another system"),
        ("a\\util.py", "of another system"),
        ("util.txt", "does not end in .py"),
        ("my-util.py", "no name of a module"),
        ("class.py", "no name of a module"),
        ("ütil.py", "no name of a module"),
        ("a\x1b[2J.py", "no name of a module"),
        ("2/util.py", "no name of a module"),
        ("a/" * 8 + "util.py", "too deep"),
        ("a" * 198 + ".py", "too long a name"),
        ("Main.py", "the same name"),
        ("main/util.py", "the same name"),
    ],
)
def test_a_name_that_could_do_harm_is_refused_by_name(path: str, words: str) -> None:
    """Out of the folder, into another system's, one of two that are the same elsewhere, or that no import finds."""
    with pytest.raises(BadBundle, match=words) as caught:
        bundle({"main.py": MAIN, path: ""})
    assert "\x1b" not in str(caught.value)


def test_names_that_differ_by_case_are_the_same() -> None:
    """Files or folders: on some systems one would overwrite the other."""
    for pair in (("A/x.py", "a/y.py"), ("Util.py", "util.py"), ("b/Util.py", "b/util.py")):
        with pytest.raises(BadBundle, match="the same name") as caught:
            bundle({"main.py": MAIN, **dict.fromkeys(pair, "")})
        assert all(repr(path) in str(caught.value) for path in pair)


def test_links_are_refused(tmp_path: Path) -> None:
    """What a link leads to may be anybody's file; a linked folder too."""
    folder = folder_of(tmp_path)
    (folder / "stolen.py").symlink_to("/etc/passwd")
    with pytest.raises(ConfigError, match=r"stolen\.py: is a symbolic link"):
        read_source(folder)
    (folder / "stolen.py").unlink()
    (folder / "elsewhere").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="elsewhere: is a symbolic link"):
        read_source(folder)


def test_bounds_are_kept(tmp_path: Path) -> None:
    """On the number of files, on all of them together, and on what is no text."""
    with pytest.raises(BadBundle, match="more than 200"):
        bundle({"main.py": MAIN, **{f"m{n}.py": "" for n in range(FILES_MAX)}})
    large = {"main.py": MAIN, **{f"m{n}.py": "#" * (300 << 10) for n in range(4)}}
    with pytest.raises(ConfigError, match="at most 1048576"):
        read_source(folder_of(tmp_path / "large", large))
    with pytest.raises(ConfigError, match=r"neither main\.py nor __init__\.py"):
        read_source(folder_of(tmp_path / "none", {"util.py": ""}))
    folder = folder_of(tmp_path)
    (folder / "util.py").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"util\.py: is not UTF-8"):
        read_source(folder)
    fifo = tmp_path / "fifo"
    fifo.mkdir()
    os.mkfifo(fifo / "pipe.txt")
    with pytest.raises(ConfigError, match="neither"):
        read_source(fifo)


def test_the_server_reads_the_entry_and_follows_its_imports() -> None:
    """Parameters, words and async of `main`; an alias of Secret that stands in a module beside it."""
    reading = signature.read_source(bundle(FILES).decode())
    assert reading.summary == "A report."
    assert [(each.name, each.type, each.secret) for each in reading.parameters] == [
        ("n", "integer", False),
        ("key", "secret", True),
    ]
    own = signature.read_source(bundle({"__init__.py": MAIN, "util.py": ""}).decode())
    assert [each.name for each in own.parameters] == ["n", "key"]


def test_packages_are_those_of_the_entry() -> None:
    """A script block in another module is a comment there."""
    block = "# /// script\n# dependencies = ['{}']\n# ///\n"
    files = {"main.py": block.format("one") + MAIN, "util.py": block.format("two")}
    assert signature.read_source(bundle(files).decode()).dependencies == ["one"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"util.py": "x = 1\ny = (\n"}, r"util\.py is not Python: line 2"),
        ({"main.py": "def other(): pass\n"}, r"main\.py has no main"),
        ({"deep/er/thing.py": "x = 1\0"}, r"deep/er/thing\.py (cannot be parsed|is not Python)"),
    ],
)
def test_the_server_names_the_module_that_is_wrong(files: dict[str, str], words: str) -> None:
    """And the line, as an author needs it."""
    with pytest.raises(FunctionRefused, match=words):
        signature.read_source(bundle(FILES | files).decode())


SIZE = len(FILES["util.py"])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (f"util.py {SIZE}", f"util.py {SIZE - 1}", "damaged"),
        (f"util.py {SIZE}", "util.py 99999999", "damaged"),
        (f"util.py {SIZE}", f"util.py 0{SIZE}", "damaged"),
        ("file util.py", "file ../til.py", "leads out"),
        ("1 main.py", "1 util.py", "damaged"),
        ("return n + 1\n", "return n + 1\nx", "damaged"),
        (MAIN, "", "damaged"),
    ],
)
def test_a_bundle_made_by_hand_is_refused(old: str, new: str, words: str) -> None:
    """Only what the same files always make is a bundle: one content, one hash."""
    text = bundle(FILES).decode()
    assert old in text
    with pytest.raises(FunctionRefused, match=words):
        signature.read_source(text.replace(old, new))
    for empty in ("dts bundle 1 main.py\n", "dts bundle 1 "):
        with pytest.raises(FunctionRefused, match="neither"):
            signature.read_source(empty)
