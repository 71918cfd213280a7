"""The form of a document, made from how the server describes its collection. No Textual here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dts_core.model import Parameter
from dts_core.plain import typed
from dts_core.text import clean_lines
from dts_core.views import CollectionView
from dts_tui.admin_documents import HAS, Doc
from dts_tui.forms import OMITTED, Field, FieldError, Form, Omitted, shown
from dts_tui.safe import whole

MASK: Final = "••••"
REMOVE: Final = "remove "
"""What the name of the switch begins with that takes a stored secret away."""
_EMPTY: Final[Mapping[str, Any]] = {"text": "", "list": [], "mapping": {}}


@dataclass(frozen=True)
class DocumentField(Field):
    """One field of a document: a list is `a, b`, a map `name:value`, or either is JSON."""

    default: Any = None

    @property
    def wants(self) -> str:
        """What kind of value it takes, in words."""
        return _WANTS.get(self.type, super().wants) if not self.lines else _LINES[self.type]

    def value(self, text: str) -> Any:
        """As of every field; an empty one is the empty value where its type has one."""
        if text.strip() == "" and self.required:
            raise FieldError("needs a value")
        if self.type == "secret":
            return text or OMITTED
        if text == "":
            return _EMPTY.get(self.type, OMITTED)
        if self.type not in ("list", "mapping"):
            return super().value(text)
        try:
            value = typed.read_list(text) if self.type == "list" else typed.read_mapping(text)
        except (ValueError, RecursionError):
            raise FieldError(_WANTS[self.type]) from None
        if not isinstance(value, list if self.type == "list" else dict):
            raise FieldError(_WANTS[self.type])
        return value


_WANTS: Final = {"list": "list: a, b or JSON", "mapping": "map: name:value, name:value or JSON"}
_LINES: Final = {"text": "text, tab goes on", "secret": "secret: paste it, ctrl+u empties"}


def text_for(value: Any) -> str:
    """A value as it is typed into its field, inert."""
    if isinstance(value, list):
        value = typed.show_list(value)
    elif isinstance(value, Mapping):
        value = typed.show_mapping(value)
    text = "" if value is None else shown(value)
    return (
        clean_lines(text, 10 * len(text) + 1, 10 * len(text) + 1) if "\n" in text else whole(text)
    )


@dataclass
class DocumentForm(Form):
    """The texts of all fields of a document.

    Args:
        view: How its collection is described.
        document: What the fields hold at first; None: their defaults.
        is_new: Whether a new document is made; `document` is then what it is copied from.
    """

    parameters: Sequence[Parameter] = ()
    host: str = ""
    view: CollectionView | None = None
    document: Doc | None = None
    is_new: bool = False
    revision: int = field(init=False, default=0)
    """The revision that a change is made on."""
    base: dict[str, str] = field(init=False, default_factory=dict)
    """The texts as they were at first."""

    def __post_init__(self) -> None:
        assert self.view is not None
        document = self.document or {}
        self.fields = []
        for each in self.view.fields:
            if each.name == "_id" and not self.is_new:
                continue
            self.fields.append(self._field(each, document))
            if removal := self._removal(each, document):
                self.fields.append(removal)
        self.texts = {item.name: item.start for item in self.fields}
        self.base = dict(self.texts)
        self.revision = 0 if self.is_new else int(document.get("revision", 0))

    def _field(self, item: Parameter, document: Doc) -> DocumentField:
        hidden, is_id = item.type == "secret", item.name == "_id"
        value = None if hidden or is_id else document.get(item.name, item.default)
        start = text_for(value)
        if item.type == "choice" and not start and item.choices and item.required:
            start = shown(item.choices[0])
        stored = not self.is_new and (
            bool(document.get(HAS[item.name])) if item.name in HAS else item.required
        )
        return DocumentField(
            name=item.name,
            type=item.type,
            label="name" if is_id else item.name,
            help=item.help,
            required=item.required and (self.is_new or not hidden),
            choices=tuple(item.choices),
            start=start,
            unset=("as stored" if stored else "none") if hidden else "",
            secret=hidden,
            lines=item.annotation == "lines",
            default=item.default,
        )

    def _removal(self, item: Parameter, document: Doc) -> DocumentField | None:
        """A switch that takes away a secret which may be missing and is there."""
        if self.is_new or item.type != "secret" or not item.optional:
            return None
        if not document.get(HAS.get(item.name, ""), item.name not in HAS):
            return None
        return DocumentField(
            name=f"{REMOVE}{item.name}", type="switch", label=f"{REMOVE}it", start="false",
            help=f"Take the stored {item.name} away.",
        )  # fmt: skip

    def error(self, item: Field) -> str:
        """What is wrong with a field as it stands; empty when nothing is."""
        removes = item.name.startswith(REMOVE) and self.text(item) == "true"
        if removes and self.texts.get(item.name.removeprefix(REMOVE)):
            return "give another one, or remove it: not both"
        return super().error(item)

    @property
    def doc_id(self) -> str:
        """The name that a new one gets."""
        return self.texts.get("_id", "").strip()

    def changed(self) -> list[str]:
        """Fields whose text is not what it was at first."""
        return [name for name, text in self.texts.items() if text != self.base[name]]

    def body(self) -> dict[str, Any]:
        """What is sent: of a change only what was changed; of a new one what differs from the defaults.

        Raises:
            FieldError: A field is wrong.
        """
        out: dict[str, Any] = {}
        changed = set(self.changed())
        for item in self.fields:
            assert isinstance(item, DocumentField)
            if item.name == "_id":
                continue
            if item.name.startswith(REMOVE):
                if self.text(item) == "true":
                    out[item.name.removeprefix(REMOVE)] = None
                continue
            if not self.is_new and item.name not in changed:
                continue
            value = item.value(self.text(item))
            if isinstance(value, Omitted):
                if self.is_new or item.type == "secret":
                    continue
                value = item.default
            if not self.is_new or item.required or value != item.default:
                out[item.name] = value
        return out

    def masked(self) -> dict[str, Any]:
        """`body` for showing: without what is secret. Empty while a field is wrong."""
        hidden = self.secrets()
        try:
            body = self.body()
        except FieldError:
            return {}
        return {name: MASK if name in hidden and value else value for name, value in body.items()}

    def draft(self) -> dict[str, str]:
        """What was typed, but never a secret."""
        hidden = self.secrets()
        return {name: self.texts[name] for name in self.changed() if name not in hidden}

    def resume(self, draft: Mapping[str, str]) -> None:
        """Take a draft; what is not a field any more is left out."""
        self.texts |= {name: text for name, text in draft.items() if name in self.texts}


def at_field(fields: Mapping[str, str], form: Form) -> dict[str, str]:
    """The server's reasons by field: one about a part (`members.anna`) goes to the field it is in."""
    names = {item.name for item in form.fields}
    out: dict[str, str] = {}
    for name, why in fields.items():
        if name not in names and (whole_name := name.split(".")[0].split("[")[0]) in names:
            out.setdefault(whole_name, f"{name[len(whole_name) :].lstrip('.')}: {why}")
        else:
            out[name] = why
    return out


def versions(
    current: Doc, sent: Mapping[str, Any], base: Doc, hidden: frozenset[str]
) -> list[tuple[str, str, str, str]]:
    """Of a conflict, (field, as it was, theirs, mine) of each field that either side changed."""
    stamps = {"_id", "revision", "created_at", "updated_at"}
    names = [*sent, *(name for name in current if name not in sent and name not in stamps)]
    out = []
    for name in names:
        before, theirs = base.get(name), current.get(name)
        if name in hidden:
            out.append((name, "", "not shown", MASK if sent[name] else "none"))
        elif name in sent or before != theirs:
            mine = sent.get(name, before)
            out.append((name, text_for(before), text_for(theirs), text_for(mine)))
    return out
