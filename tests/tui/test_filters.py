"""The filter language, apart from any screen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core.states import JobState
from dts_tui.filters import JOB_KEYS, Filter, FilterError, job_query, parse

RECORD = {
    "state": "failed",
    "function": "etl/load",
    "host": "web-1",
    "error": "ValueError: count is 0",
}
words = st.text(st.characters(whitelist_categories=("L", "N")), min_size=1, max_size=12)
records = st.dictionaries(st.sampled_from(list(RECORD)), words, min_size=1)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("", True),
        ("valueerror", True),
        ("VALUE count", True),
        ("value nothing", False),
        ("!nothing", True),
        ("!count", False),
        ("state=failed", True),
        ("state=done,failed", True),
        ("state=done", False),
        ("state!=done", True),
        ("!state=failed", False),
        ("host=web-*", True),
        ("host=WEB-1", True),
        ("host=web", False),
        ("~coun[tT]..is", False),
        ('"count is"', True),
        ("~count.is", True),
        ("!~^etl", False),
        ("error~^Value", True),
        ("error~^count", False),
    ],
)
def test_terms(text: str, fits: bool) -> None:
    """Words, negation, pairs with alternatives and stars, regular expressions: all of them must hold."""
    assert parse(text).match(RECORD) is fits


@given(record=records, word=words)
def test_negation_turns_a_term_round(record: dict[str, str], word: str) -> None:
    """`!term` holds exactly where `term` does not."""
    assert parse(f"!{word}").match(record) is not parse(word).match(record)


@given(record=records, terms=st.lists(words, max_size=4))
def test_terms_add_up(record: dict[str, str], terms: list[str]) -> None:
    """A filter holds exactly where each of its terms holds."""
    assert parse(" ".join(terms)).match(record) is all(parse(term).match(record) for term in terms)


@given(text=st.text(max_size=40))
def test_any_input_is_understood_or_refused_with_a_reason(text: str) -> None:
    """Whatever is typed gives a filter or a FilterError; what is understood reads back to the same filter."""
    try:
        wanted = parse(text)
    except FilterError as error:
        reason = str(error)
        assert reason
    else:
        wanted.match(RECORD)
        assert parse(str(wanted)) == wanted


def test_unknown_key_names_the_known_ones() -> None:
    """A mistyped key is refused where it is typed, with what there is."""
    with pytest.raises(FilterError, match=r"nothing here is called `hots`\..*host"):
        parse("hots=web-1", JOB_KEYS)


def test_wrong_regular_expression_is_refused() -> None:
    """`~(` cannot be compiled and says so."""
    with pytest.raises(FilterError, match="no regular expression"):
        parse("~(")


def test_a_term_can_be_switched_off_alone() -> None:
    """A term that is off holds everywhere; the others still count."""
    wanted = parse("nothing count").switch(0)
    assert wanted.match(RECORD)
    assert not wanted.switch(0).match(RECORD)
    assert not Filter(parse("a").terms).switch(0)


def test_server_gets_what_it_can_answer() -> None:
    """States, function, namespace, host, submitter and one word go to the server; the rest stays here."""
    query, rest = job_query(
        parse("failed dead ns=etl host=web-1 by=anna boom !x host=web-* ~y", JOB_KEYS)
    )
    assert query == {
        "state": "failed,dead",
        "namespace": "etl",
        "host": "web-1",
        "submitter": "anna",
        "text": "boom",
    }
    assert [term.text for term in rest.terms] == ["!x", "host=web-*", "~y"]


@given(
    states=st.lists(st.sampled_from([state.value for state in JobState]), min_size=1, unique=True)
)
def test_names_of_states_ask_for_states(states: list[str]) -> None:
    """A bare word that is a state is that state, alone or among others."""
    query, rest = job_query(parse(" ".join(states), JOB_KEYS))
    assert query["state"].split(",") == states
    assert not rest
