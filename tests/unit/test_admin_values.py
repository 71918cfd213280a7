"""What a person types for the fields of a document."""

from pathlib import Path
from typing import Any

import pytest

from dts_core.cli.admin_values import assigned, from_file, secrets
from dts_core.errors import ConfigError, InvalidInput
from dts_core.services.functions import FUNCTIONS
from dts_core.services.resources.forms import describe
from dts_core.services.users import USERS

USER = describe(USERS)


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("role=admin", "admin"),
        ("disabled=true", True),
        ("disabled=no", False),
        ("address=a=b@example.org", "a=b@example.org"),
        ("groups=ops, night", ["ops", "night"]),
        ('groups=["ops"]', ["ops"]),
        ("groups=", []),
        ("colour=red", "red"),
    ],
)
def test_a_value_has_the_type_of_its_field(pair: str, value: Any) -> None:
    """A field that the server does not know goes there as it is: it names all of them at once."""
    assert assigned(USER, [pair]) == {pair.partition("=")[0]: value}


@pytest.mark.parametrize(
    ("pair", "word"),
    [("role", "FIELD=VALUE"), ("disabled=maybe", "true or false"), ("groups=[1", "list")],
)
def test_a_value_that_does_not_fit_is_told(pair: str, word: str) -> None:
    """With the form that is expected."""
    with pytest.raises(InvalidInput, match=word):
        assigned(USER, [pair])


def test_a_secret_is_never_taken_from_the_command_line() -> None:
    """Others can read it there; the way that there is is told, the secret is not."""
    with pytest.raises(InvalidInput, match="--secret-file") as refused:
        assigned(USER, ["secret=correct horse"])
    assert "horse" not in str(refused.value)


def test_secrets_come_from_files_or_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The field may be left out where there is one; what a creation needs is asked for, without an echo."""
    file = tmp_path / "secret"
    file.write_text("correct horse\n")
    for given in (str(file), f"secret={file}"):
        assert secrets(USER, asked=(), files=(given,), needed=True) == {"secret": "correct horse"}
    asked: list[tuple[str, dict[str, Any]]] = []

    def prompt(name: str, **options: Any) -> str:
        asked.append((name, options))
        return "typed"

    monkeypatch.setattr("dts_core.cli.admin_values.click.prompt", prompt)
    assert secrets(USER, asked=(), files=(), needed=False) == {}
    assert secrets(USER, asked=("secret",), files=(), needed=True) == {"secret": "typed"}
    assert asked == [("secret", {"hide_input": True, "confirmation_prompt": True})]
    with pytest.raises(InvalidInput, match="no secret field"):
        secrets(USER, asked=("role",), files=(), needed=False)


def test_a_text_is_read_from_a_file(tmp_path: Path) -> None:
    """`source=@FILE`; a file that cannot be read is named."""
    file = tmp_path / "f.py"
    file.write_text("def main(): pass\n")
    view = describe(FUNCTIONS)
    assert assigned(view, [f"source=@{file}"]) == {"source": "def main(): pass\n"}
    with pytest.raises(ConfigError, match="nowhere"):
        assigned(view, [f"source=@{tmp_path}/nowhere"])


def test_a_document_is_read_from_a_file_without_what_is_read_only(tmp_path: Path) -> None:
    """What `get --toml` and `get --json` print is taken back, with its revision."""
    toml, json = tmp_path / "a.toml", tmp_path / "a.json"
    toml.write_text(
        '_id = "ann"\nrole = "admin"\nrevision = 3\ncreated_at = 2026-01-01T00:00:00Z\n'
    )
    json.write_text('{"_id": "ann", "role": "admin", "revision": 3, "updated_at": "x"}')
    for file in (toml, json):
        assert from_file(str(file)) == {"role": "admin", "revision": 3}
    toml.write_text("role = \n")
    json.write_text("[]")
    for file in (toml, json):
        with pytest.raises(ConfigError, match=file.name):
            from_file(str(file))
