"""Signatures read from source by parsing alone."""

from pathlib import Path
from typing import get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core import Secret
from dts_core.errors import FunctionRefused
from dts_core.model import Parameter
from dts_core.resources import etc_folder
from dts_core.services.signature import read_source, written_signature


def parameters(signature: str, before: str = "") -> dict[str, Parameter]:
    found = read_source(f"{before}\ndef main({signature}):\n    pass\n").parameters
    return {each.name: each for each in found}


@pytest.mark.parametrize(
    ("annotation", "kind", "optional"),
    [
        ("Secret", "secret", False),
        ("dts_core.Secret", "secret", False),
        ("'Secret'", "secret", False),
        ("Secret | None", "secret", True),
        ("Optional[Secret]", "secret", True),
        ("Hidden", "secret", False),
        ("Token", "secret", False),
        ("Annotated[str, Secret]", "secret", False),
        ("Annotated[Secret, 'of the host']", "secret", False),
        ("Annotated[int, Secret]", "integer", False),
        ("Secret | int", "any", False),
        ("list[Secret]", "list", False),
        ("dict[str, Secret] | None", "mapping", True),
        ("tuple[int, list[Hidden]]", "list", False),
    ],
)
def test_a_secret_anywhere_in_an_annotation_makes_it_secret(
    annotation: str, kind: str, optional: bool
) -> None:
    """By itself, renamed, by an alias or within other types: nothing of the argument is to be stored in clear."""
    before = "from dts_core import Secret as Hidden\nToken = Hidden"
    found = parameters(f"x: {annotation}", before)["x"]
    assert (found.type, found.optional, found.secret) == (kind, optional, True)
    assert found.is_secret


def test_other_arguments_are_no_secrets() -> None:
    """A name that only looks like one, and a help text, hide nothing."""
    found = parameters("secret: str, b: Annotated[str, 'Secret'], c: list[str] = [], d=None")
    assert not any(each.is_secret for each in found.values())


def test_the_annotation_is_one_of_a_str_to_others() -> None:
    """What reads annotations at run time sees a text: no class of ours reaches a function."""
    assert msgspec.convert(["a"], list[Secret]) == ["a"]
    assert get_type_hints(takes_a_secret)["password"] is str


def takes_a_secret(password: Secret) -> None:
    del password


@pytest.mark.parametrize(
    ("annotation", "kind", "optional"),
    [
        ("str", "text", False),
        ("int", "integer", False),
        ("float", "number", False),
        ("int | float", "number", False),
        ("bool", "switch", False),
        ("list[int]", "list", False),
        ("typing.List[int]", "list", False),
        ("tuple[int, str]", "list", False),
        ("dict[str, int]", "mapping", False),
        ("Mapping[str, int]", "mapping", False),
        ("Path", "path", False),
        ("pathlib.Path", "path", False),
        ("str | Path", "path", False),
        ("date", "date", False),
        ("datetime.datetime", "datetime", False),
        ("SecretStr", "secret", False),
        ("Any", "any", False),
        ("object", "any", False),
        ("Nobody.Knows[This]", "any", False),
        ("str | None", "text", True),
        ("None | int", "integer", True),
        ("Optional[bool]", "switch", True),
        ("Union[str, None]", "text", True),
        ("str | int | None", "any", True),
        ("'str | None'", "text", True),
        ("Annotated[int, 'how many']", "integer", False),
        ("Final[str]", "text", False),
    ],
)
def test_an_annotation_becomes_a_type_of_the_form(
    annotation: str, kind: str, optional: bool
) -> None:
    """Each way to write a type leads to one kind of field; what is not understood accepts everything."""
    found = parameters(f"x: {annotation}")["x"]
    assert (found.type, found.optional, found.required) == (kind, optional, True)
    assert found.annotation == annotation


def test_choices_come_from_literals_and_enumerations() -> None:
    """Also through an alias, with null as an option and not as a choice."""
    before = (
        "Level = Literal['low', 'high']\n"
        "class Colour(StrEnum):\n    RED = 'red'\n    BLUE = 'blue'\n"
        "class Plain:\n    A = 1\n"
    )
    found = parameters(
        "a: Literal[1, 'x', True], b: Level, c: Colour, d: Optional[Literal['p', None]], e: Plain",
        before,
    )
    assert found["a"].choices == [1, "x", True]
    assert (found["b"].type, found["b"].choices) == ("choice", ["low", "high"])
    assert (found["c"].type, found["c"].choices) == ("choice", ["red", "blue"])
    assert (found["d"].choices, found["d"].optional) == (["p"], True)
    assert found["e"].type == "any"


def test_defaults_are_values_or_their_source() -> None:
    """A JSON literal is a value; anything else is shown as it is written."""
    found = parameters(
        "a=1, b='x', c=None, d=(1, 2), e=now(), f={'k': [1]}, g={1, 2}, h=b'x', i=-3, j=1e999, k={1: 2}"
    )
    values = {name: each.default for name, each in found.items() if not each.default_text}
    assert values == {"a": 1, "b": "x", "c": None, "d": [1, 2], "f": {"k": [1]}, "i": -3}
    texts = {name: each.default_text for name, each in found.items() if each.default_text}
    assert texts == {"e": "now()", "g": "{1, 2}", "h": "b'x'", "j": "1e309", "k": "{1: 2}"}
    assert not any(each.required for each in found.values())
    assert found["c"].optional
    assert [found[name].type for name in "abdf"] == ["integer", "text", "list", "mapping"]


def test_kinds_follow_pythons_own_order() -> None:
    """By position, the rest, by keyword, the others; stars are never required."""
    found = parameters("a, /, b, *c, d, e=2, **f")
    assert [(each.name, each.kind, each.required) for each in found.values()] == [
        ("a", "positional", True),
        ("b", "positional", True),
        ("c", "var_positional", False),
        ("d", "keyword", True),
        ("e", "keyword", False),
        ("f", "var_keyword", False),
    ]


GOOGLE = '''
"""Count words.

Slowly.

Args:
    path: The file,
        on the host.
    deep (bool, optional): Go on.
    **more: Others.

Returns:
    number: of words.
"""
'''
NUMPY = '''
"""Count words.

Slowly.

Parameters
----------
path : str
    The file,
    on the host.
deep, more : bool
    Go on.

Returns
-------
number
    of words.
"""
'''
SPHINX = '''
"""Count words.

Slowly.

:param path: The file,
    on the host.
:param bool deep: Go on.
:returns: number
"""
'''


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_help_is_read_from_each_manner_of_docstring(docstring: str) -> None:
    """A parameter's help is found whatever the house style; results are not mistaken for parameters."""
    body = "\n".join(f"    {line}" for line in docstring.strip().splitlines())
    reading = read_source(f"async def main(path, deep=False, number=1):\n{body}\n")
    helps = {each.name: each.help for each in reading.parameters}
    assert helps == {"path": "The file, on the host.", "deep": "Go on.", "number": ""}
    assert reading.summary == "Count words."
    assert "Slowly." in reading.doc
    assert reading.is_async


def test_the_modules_docstring_stands_in() -> None:
    """A main without a docstring is described by its module."""
    assert read_source('"""What it does."""\ndef main(): pass\n').summary == "What it does."


def test_hostile_text_in_a_source_is_made_visible() -> None:
    """Escapes of a docstring, a default and an annotation reach nobody's terminal."""
    reading = read_source(
        "def main(a: 'x\\x1b[2J' = '\\x1b]52;', b: str = f('\\u202e')):\n    '''Hi \\x1b[31m\\u202e'''\n"
    )
    shown = [reading.summary, reading.doc]
    shown += [each.annotation + each.default_text + each.help for each in reading.parameters]
    assert not any("\x1b" in text or "\u202e" in text for text in shown)


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("", "no main"),
        ("main = print\n", "no main"),
        ("if True:\n    def main(): pass\n", "no main"),
        ("def main(:\n", "line 1"),
        ("x = 1\n\ndef main()\n", "line 3"),
        ("def main(): pass\n\x00", "null"),
        ("def main(): return '\ud800'", "valid text"),
        ("(" * 500, "nested"),
        ("-" * 500_000 + "1", "nested"),
        ("x" + ".y" * 200_000, "recursion"),
        ("#" * ((1 << 20) + 1), "bytes"),
        (f"def main({','.join(f'a{n}' for n in range(201))}): pass", "parameters"),
    ],
)
def test_what_does_not_load_is_refused_with_its_place(source: str, word: str) -> None:
    """One line that says why; hostile nesting costs an error, never the process."""
    with pytest.raises(FunctionRefused, match=word):
        read_source(source)


def test_a_deeply_nested_annotation_is_any() -> None:
    """An alias that leads to itself, or a union of thousands, ends."""
    found = parameters("a: Loop, b: Long", "Loop = 'Loop'\nLong = " + " | ".join(["int"] * 90))
    assert found["a"].type == "any"
    assert found["b"].type == "integer"


@pytest.mark.parametrize(
    "path", sorted(etc_folder().joinpath("functions").glob("*.py")), ids=lambda path: path.stem
)
def test_the_samples_describe_themselves(path: Path) -> None:
    """Every shipped sample has a summary, and a help text for each parameter."""
    reading = read_source(path.read_text("utf-8"))
    assert reading.summary
    assert all(each.help for each in reading.parameters)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No source makes the reader fail in another way than by refusing."""
    try:
        reading = read_source(f"{text}\ndef main(x: int = 1): '''{text}'''\n")
    except FunctionRefused:
        return
    assert len(reading.hash) == 64


def test_the_written_signature_is_one_line() -> None:
    """As a person would write it, capped."""
    found = read_source("def main(a: int, b='x', *, c: str = None, **d): pass").parameters
    assert written_signature(found) == "main(a: int, b = 'x', *, c: str = None, **d)"
    assert len(written_signature(found, limit=30)) <= 40
