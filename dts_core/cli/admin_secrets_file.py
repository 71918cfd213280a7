"""The file of secrets that `dts admin apply` gives to new documents: TOML, of mode 0600, away from the folder."""

import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from dts_core.declared import Declared, Form, Key
from dts_core.errors import ConfigError, InvalidInput
from dts_core.private import read_private
from dts_core.text import clean

FILE_MAX: Final = 4 << 20
_FORM: Final = (
    '[COLLECTION."ID"] with FIELD = "..." below it, for example [users.anna] secret = "..."'
)


def read_secrets(
    path: Path, forms: Mapping[str, Form], documents: Iterable[Declared]
) -> dict[Key, dict[str, str]]:
    """Document -> its secret fields. No message tells anything of what is in a field.

    Raises:
        ConfigError: It cannot be read, others may read it, or it is no TOML.
        InvalidInput: It names a document that is not declared, or a field that is no secret.
    """
    known = {each.key for each in documents}
    found: dict[Key, dict[str, str]] = {}
    wrong: dict[str, str] = {}
    for collection, table in _tables(path).items():
        form = forms.get(collection)
        if form is None or not isinstance(table, dict):
            wrong[collection] = f"one of {', '.join(forms)}"
            continue
        for doc_id, fields in table.items():
            key = Key(collection, doc_id)
            where = f"{collection}.{doc_id}"
            if key not in known:
                wrong[where] = "the folder declares no such document"
            elif not isinstance(fields, dict):
                wrong[where] = "a table of secret fields is expected"
            else:
                wrong |= {f"{where}.{name}": why for name, why in _wrong_fields(form, fields)}
                found[key] = fields
    if wrong:
        named = "; ".join(f"{clean(name, 200)}: {why}" for name, why in wrong.items())
        raise InvalidInput(f"{clean(str(path), 400)}: {named}.", fields=wrong)
    return found


def _wrong_fields(form: Form, fields: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in fields.items():
        if name not in form.secrets:
            yield (
                name,
                f"no secret field; a {form.one} has {', '.join(sorted(form.secrets)) or 'none'}",
            )
        elif not isinstance(value, str) or not value:
            yield name, "a text is expected"


def _tables(path: Path) -> dict[str, Any]:
    import tomli

    shown = clean(str(path), 400)
    try:
        mode = path.lstat().st_mode
        data = read_private(path, FILE_MAX + 1)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}.", file=shown) from error
    if data is None:
        raise ConfigError("is no plain file of yours.", file=shown)
    if stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError("others may read it.", file=shown, advice=f"Run: chmod 600 {shown}")
    if len(data) > FILE_MAX:
        raise ConfigError(f"has more than {FILE_MAX} bytes.", file=shown)
    try:
        return tomli.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        # The parser's words, and what led to them, may quote a secret.
        raise ConfigError("is no TOML.", file=shown, advice=f"Write {_FORM}.") from None
