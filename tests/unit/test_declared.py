"""Declared documents: the plan leads from any store to any folder, in an order that each step survives."""

from collections.abc import Mapping
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from dts_core.declared import (
    ORDER,
    Declared,
    Kept,
    Key,
    Plan,
    Step,
    digest_of,
    document_toml,
    forms_of,
    id_of,
    make_plan,
    misfits,
    path_of,
)
from dts_core.errors import InvalidInput
from dts_core.model import Parameter
from dts_core.services.functions import FUNCTIONS
from dts_core.services.resources.forms import describe
from dts_core.services.users import USERS
from dts_core.views import CollectionView

SECRET = "canary of a secret"
NAMES = ("a", "b", "c", "d")
State = dict[Key, Kept]


def user(name: str, **fields: Any) -> Declared:
    return declared("users", name, **({"role": "viewer", "disabled": False} | fields))


def declared(collection: str, doc_id: str, **fields: Any) -> Declared:
    return Declared(key=Key(collection, doc_id), fields=fields, file=f"{collection}/{doc_id}.toml")


def kept(document: Declared, revision: int = 1, secrets: frozenset[str] = frozenset()) -> Kept:
    """A document as a server holds it."""
    fields = dict(document.fields)
    if "source" in fields:
        fields["source"] = digest_of(fields["source"])
    if document.key.collection == "users":
        secrets = frozenset({"secret"})
    return Kept(key=document.key, fields=fields, revision=revision, secrets=secrets)


@st.composite
def folders(draw: st.DrawFn) -> list[Declared]:
    """Documents that fit each other."""
    found = [
        user(name, role=draw(st.sampled_from(["viewer", "admin"])), disabled=draw(st.booleans()))
        for name in draw(st.sets(st.sampled_from(NAMES)))
    ]
    for name in draw(st.sets(st.sampled_from(NAMES))):
        found.append(declared("namespaces", name, description=draw(st.sampled_from(["", "x"]))))
        for function in draw(st.sets(st.sampled_from(NAMES))):
            fields = {each: draw(st.sampled_from(["", "x", "y"])) for each in ("source", "note")}
            found.append(declared("functions", f"{name}/{function}", **fields))
    passed = [""]
    for name in draw(st.permutations(NAMES)):
        if draw(st.booleans()):
            jump = draw(st.sampled_from(passed))
            found.append(declared("vhosts", name, address=draw(st.sampled_from("xy")), jump=jump))
            passed.append(name)
    return found


def done(state: State, plan: Plan) -> State:
    """What a server makes of the plan: it refuses what the real one refuses."""
    state = dict(state)
    for step in plan.steps:
        before = state.get(step.key)
        assert (step.verb == "create") == (before is None)
        if before is not None:
            assert step.revision == before.revision
        if step.verb == "delete":
            _assert_unneeded(state, step.key)
            del state[step.key]
            continue
        fields = {} if before is None else dict(before.fields)
        fields |= kept(Declared(key=step.key, fields=step.fields, file="")).fields
        revision = 1 if before is None else before.revision + 1
        secrets = frozenset(step.secrets) | (frozenset() if before is None else before.secrets)
        if step.key.collection == "users":
            secrets |= {"secret"}
        state[step.key] = Kept(key=step.key, fields=fields, revision=revision, secrets=secrets)
        _assert_fits(state, step)
    return state


def _assert_fits(state: State, step: Step) -> None:
    collection, doc_id = step.key
    if collection == "functions":
        assert Key("namespaces", doc_id.partition("/")[0]) in state
    passed = {doc_id}
    while collection == "vhosts" and (doc_id := state[Key("vhosts", doc_id)].fields["jump"]):
        assert doc_id not in passed, "a circle"
        passed.add(doc_id)


def _assert_unneeded(state: State, key: Key) -> None:
    for other, document in state.items():
        if key.collection == "namespaces" and other.collection == "functions":
            assert not other.id.startswith(f"{key.id}/")
        if key.collection == "vhosts" and other.collection == "vhosts":
            assert document.fields["jump"] != key.id


def secrets_of(folder: list[Declared]) -> Mapping[Key, Mapping[str, str]]:
    return {each.key: {"secret": SECRET} for each in folder if each.key.collection == "users"}


def shown(documents: Mapping[Key, Kept]) -> dict[Key, Mapping[str, Any]]:
    return {key: document.fields for key, document in documents.items()}


@given(before=folders(), after=folders())
def test_the_plan_from_one_state_to_another_leads_there(
    before: list[Declared], after: list[Declared]
) -> None:
    """With prune the server holds exactly what is declared; every step finds what it needs; a second plan is empty."""
    state = {each.key: kept(each) for each in before}
    plan = make_plan(after, [*state.values()], secrets=secrets_of(after), prune=ORDER)
    assert plan.held == []
    reached = done(state, plan)
    assert shown(reached) == {each.key: kept(each).fields for each in after}
    again = make_plan(after, [*reached.values()], secrets=secrets_of(after), prune=ORDER)
    assert again.is_done
    assert again.unchanged == len(after)
    assert SECRET not in repr(plan)


@given(before=folders(), after=folders(), cut=st.integers(0, 30))
def test_a_run_that_was_cut_off_is_finished_by_the_next(
    before: list[Declared], after: list[Declared], cut: int
) -> None:
    """After any number of steps a new plan leads to the same state."""
    state = {each.key: kept(each) for each in before}
    first = make_plan(after, [*state.values()], secrets=secrets_of(after), prune=ORDER)
    half = done(state, Plan(steps=first.steps[:cut]))
    rest = make_plan(after, [*half.values()], secrets=secrets_of(after), prune=ORDER)
    assert shown(done(half, rest)) == shown(done(state, first))


@given(before=folders(), after=folders())
def test_without_prune_nothing_is_deleted(before: list[Declared], after: list[Declared]) -> None:
    """What is not declared stays as it is."""
    plan = make_plan(after, [kept(each) for each in before], secrets=secrets_of(after))
    assert all(step.verb != "delete" for step in plan.steps)
    assert {step.key for step in plan.steps} <= {each.key for each in after}


def test_a_new_user_without_a_secret_is_created_disabled_and_stays_so() -> None:
    """The plan says so, and the next one does not let them in either, until there is a secret."""
    ann = user("ann")
    plan = make_plan([ann], [], secrets={})
    assert plan.steps[0].fields["disabled"] is True
    assert [each.key.id for each in plan.held] == ["ann"]
    reached = [*done({}, plan).values()]
    again = make_plan([ann], reached, secrets={})
    assert (again.steps, len(again.held)) == ([], 1)
    let_in = make_plan([ann], reached, secrets={ann.key: {"secret": SECRET}})
    assert let_in.held == []
    assert (dict(let_in.steps[0].fields), let_in.steps[0].secrets) == (
        {"disabled": False},
        ("secret",),
    )


def test_a_user_who_is_kept_out_is_not_let_in_by_an_old_folder() -> None:
    """Other fields are changed all the same."""
    held = kept(user("ann", disabled=True), revision=4)
    plan = make_plan([user("ann", role="admin")], [held], secrets={})
    assert [dict(step.fields) for step in plan.steps] == [{"role": "admin"}]
    assert "disabled" in plan.held[0].why


def test_a_kept_secret_is_not_given_again() -> None:
    """Only what a document has not is given: nobody could tell whether it is the same."""
    host = declared("vhosts", "web", address="x", jump="")
    given = {host.key: {"ssh_pem_cert": SECRET, "password": SECRET}}
    plan = make_plan([host], [kept(host, secrets=frozenset({"password"}))], secrets=given)
    assert [(step.verb, step.secrets) for step in plan.steps] == [("change", ("ssh_pem_cert",))]
    whole = kept(host, secrets=frozenset({"password", "ssh_pem_cert"}))
    assert make_plan([host], [whole], secrets=given).is_done


def test_nobody_takes_their_own_rights_away() -> None:
    """It would end the run in its midst: neither deleted nor made less."""
    me, other = user("me", role="admin", address=""), kept(user("other"))
    held = [kept(me), other]
    pruned = make_plan([], held, secrets={}, prune=["users"], me="me")
    assert [step.key.id for step in pruned.steps] == ["other"]
    assert [each.key.id for each in pruned.held] == ["me"]
    less = user("me", role="viewer", disabled=True, address="me@example.org")
    plan = make_plan([less], held, secrets={}, me="me")
    assert [dict(step.fields) for step in plan.steps] == [{"address": "me@example.org"}]
    assert len(plan.held) == 1


def test_what_would_not_fit_is_told_with_its_file() -> None:
    """Functions without a namespace, ways to nowhere and in a circle; what the server holds counts while it stays."""
    held = [kept(declared("namespaces", "old")), kept(declared("vhosts", "gate", jump=""))]
    folder = [
        declared("functions", "old/f", source=""),
        declared("functions", "none/f", source=""),
        declared("vhosts", "a", jump="b"),
        declared("vhosts", "b", jump="a"),
        declared("vhosts", "c", jump="gate"),
        declared("vhosts", "d", jump="nowhere"),
    ]
    found = {each.file: each.why for each in misfits(folder, held, prune=())}
    assert found == {
        "functions/none/f.toml": "there is no namespace none",
        "vhosts/a.toml": "the way would be a circle: a through b through a",
        "vhosts/b.toml": "the way would be a circle: b through a through b",
        "vhosts/d.toml": "there is no virtual host 'nowhere'",
    }
    pruned = {each.file for each in misfits(folder, held, prune=["namespaces", "vhosts"])}
    assert pruned - found.keys() == {"functions/old/f.toml", "vhosts/c.toml"}


@pytest.mark.parametrize(
    ("collection", "doc_id"),
    [
        ("users", ".."), ("users", "../x"), ("users", "a/b"), ("users", ""), ("users", ".hidden"),
        ("vhosts", "a\0b"), ("vhosts", "/etc/x"), ("functions", "a"), ("functions", "../b"),
        ("functions", "a/b/c"), ("functions", "a/.."), ("vhosts", "a\n"), ("vhosts", "x" * 300),
    ],
)  # fmt: skip
def test_no_id_leads_out_of_the_folder(collection: str, doc_id: str) -> None:
    """A server that names such a document is not believed."""
    with pytest.raises(InvalidInput):
        path_of(Key(collection, doc_id))


@given(st.sampled_from(ORDER), st.text(max_size=40))
def test_a_path_and_its_document_belong_together(collection: str, text: str) -> None:
    """Whatever has a path is read back as itself, from within its collection's folder."""
    key = Key(collection, text)
    try:
        path = path_of(key)
    except InvalidInput:
        return
    assert id_of(path.parts) == key
    assert path.parts[0] == collection
    assert ".." not in path.parts


@given(
    st.dictionaries(st.text(max_size=5), st.text(max_size=10), max_size=4),
    st.lists(st.text(max_size=10), max_size=4),
    st.text(),
    st.integers(-(1 << 62), 1 << 62),
    st.booleans(),
)
def test_a_file_says_what_the_document_is(
    members: dict[str, str], groups: list[str], text: str, port: int, disabled: bool
) -> None:
    """Read back it is the same, whatever is in it; the same document is the same text."""
    fields = {"text": text, "members": members, "groups": groups, "port": port, "off": disabled}
    document = Kept(key=Key("vhosts", "a"), fields=fields, revision=1)
    written = document_toml(document)
    assert tomli.loads(written) == fields
    turned = fields | {"members": dict(reversed(members.items()))}
    assert document_toml(Kept(key=document.key, fields=turned, revision=7)) == written


def test_a_file_names_the_secrets_that_it_does_not_hold() -> None:
    """In comments, before the fields; maps come as tables, sorted."""
    document = Kept(
        key=Key("namespaces", "etl"),
        fields={"members": {"b": "admin", "*": "viewer"}, "description": "x", "source": "y"},
        revision=3,
        secrets=frozenset({"secret"}),
    )
    assert document_toml(document, without=["source"]) == (
        '# secret: kept in the store\ndescription = "x"\n\n[members]\n"*" = "viewer"\nb = "admin"\n'
    )


def test_a_form_names_what_is_unknown_secret_or_missing() -> None:
    """All of it at once, before the server is asked; what is left out has its default."""
    forms = forms_of([describe(USERS), describe(FUNCTIONS)])
    users = forms["users"]
    wrong = users.mistakes({"rol": "viewer", "secret": SECRET})
    assert wrong["rol"] == "unknown field; did you mean role?"
    assert "--secrets-file" in wrong["secret"]
    assert SECRET not in str(wrong)
    assert users.filled({"role": "admin"}) == {
        "role": "admin", "disabled": False, "address": "", "groups": [],
    }  # fmt: skip
    assert forms["functions"].mistakes({}) == {"source": "required"}
    assert [*forms["functions"].fields] == ["source", "note"]
    newer = CollectionView(
        name="users", one="user", filters=[], sorts=[],
        fields=[Parameter(name="quota", kind="keyword", type="integer", required=False, default=3)],
    )  # fmt: skip
    assert forms_of([newer])["users"].filled({}) == {"quota": 3}


def test_a_field_that_is_no_name_is_not_written() -> None:
    """A server that names such a one does not write lines of its own into a file."""
    fields = [
        Parameter(name=f"a\n{kind} = 1", kind="keyword", type=kind, required=False)
        for kind in ("text", "mapping", "secret")
    ]
    view = CollectionView(name="users", one="user", filters=[], sorts=[], fields=fields)
    form = forms_of([view])["users"]
    assert (dict(form.fields), form.secrets) == ({}, frozenset())
