"""The filter language of every list: words, `!not`, `key=value`, `~regex`, all of which must hold.

    failed ns=etl !host=web-* "two words" ~time(d )?out

A word is found anywhere in a record, whatever its case. `key=value` compares one field: `*`
stands for anything, a comma
separates alternatives. `~` takes a regular expression, `key~` one for a single field. `!` in
front turns any term round.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import translate

from dts_core.errors import DtsError
from dts_core.states import JobState

_TOKEN = re.compile(r'\s*((?:"[^"]*"?|\S)+)')
_PAIR = re.compile(r"([a-z_]+)(!?=|~)(.*)", re.DOTALL)
REGEX_MAX = 200
"""Longest regular expression, in characters."""


class FilterError(DtsError):
    """The filter cannot be understood; the message says which term and why."""

    code = "filter"


@dataclass(frozen=True)
class Term:
    """One condition. `key` is empty when any field may fulfil it; `on` is False while it is switched off."""

    text: str
    """As typed."""
    value: str
    key: str = ""
    negated: bool = False
    regex: bool = False
    on: bool = True

    def holds(self, record: Mapping[str, str]) -> bool:
        """Whether the record fulfils this term."""
        return self._found(record) is not self.negated

    def _found(self, record: Mapping[str, str]) -> bool:
        if self.regex:
            pattern = _compiled(self.value)
            fields = (record.get(self.key, ""),) if self.key else record.values()
            return any(pattern.search(field) is not None for field in fields)
        if self.key:
            field = record.get(self.key, "")
            return any(_same(field, choice) for choice in self.value.split(","))
        word = self.value.casefold()
        return any(word in field.casefold() for field in record.values())


@dataclass(frozen=True)
class Filter:
    """All terms must hold; an empty filter holds for everything."""

    terms: tuple[Term, ...] = ()

    def __bool__(self) -> bool:
        return any(term.on for term in self.terms)

    def __str__(self) -> str:
        return " ".join(term.text for term in self.terms)

    def match(self, record: Mapping[str, str]) -> bool:
        """Whether the record fulfils every term that is switched on."""
        return all(term.holds(record) for term in self.terms if term.on)

    def switch(self, index: int) -> "Filter":
        """The same filter with one term switched off or on."""
        terms = list(self.terms)
        terms[index] = replace(terms[index], on=not terms[index].on)
        return Filter(tuple(terms))

    def add(self, text: str, keys: Collection[str] = ()) -> "Filter":
        """This filter and the terms of `text`; a term that is there already is not doubled."""
        have = {term.text for term in self.terms}
        more = tuple(term for term in parse(text, keys).terms if term.text not in have)
        return Filter(self.terms + more)


def parse(text: str, keys: Collection[str] = ()) -> Filter:
    """Understand a filter as typed.

    Args:
        text: The terms, separated by spaces; quotes keep spaces together.
        keys: The fields that `key=value` may name; empty allows any.

    Raises:
        FilterError: An unknown key or a wrong regular expression.
    """
    return Filter(tuple(_term(match.group(1), keys) for match in _TOKEN.finditer(text)))


def _term(token: str, keys: Collection[str]) -> Term:
    body = token[1:] if token.startswith("!") and len(token) > 1 else token
    negated = body is not token
    if body.startswith("~") and len(body) > 1:
        _compiled(_bare(body[1:]))
        return Term(token, _bare(body[1:]), negated=negated, regex=True)
    pair = _PAIR.fullmatch(body)
    if pair is None or (keys and pair[1] not in keys and pair[2] == "~"):
        return Term(token, _bare(body), negated=negated)
    key, sign, value = pair[1], pair[2], _bare(pair[3])
    if keys and key not in keys:
        known = ", ".join(sorted(keys))
        raise FilterError(f"nothing here is called `{key}`.", advice=f"Known: {known}.")
    if sign == "~":
        _compiled(value)
    return Term(token, value, key, negated is not (sign == "!="), regex=sign == "~")


def _bare(text: str) -> str:
    return text.replace('"', "")


def _compiled(pattern: str) -> re.Pattern[str]:
    if len(pattern) > REGEX_MAX:
        raise FilterError(f"a regular expression may have {REGEX_MAX} characters.")
    try:
        return re.compile(pattern, re.IGNORECASE)  # re keeps the compiled form
    except (re.error, RecursionError, OverflowError) as error:
        raise FilterError(f"`~{pattern}` is no regular expression: {error}.") from error


def _same(field: str, choice: str) -> bool:
    if "*" in choice:
        return re.match(translate(choice.casefold()), field.casefold()) is not None
    return field.casefold() == choice.casefold()


JOB_KEYS = ("state", "function", "fn", "namespace", "ns", "host", "by", "queue", "id")
_ALIASES = {"fn": "function", "ns": "namespace", "submitter": "by"}
_SERVER = {"function": "function", "namespace": "namespace", "host": "host", "by": "submitter"}
_STATES = {state.value for state in JobState}


def job_query(wanted: Filter) -> tuple[dict[str, str], Filter]:
    """Split a filter of jobs into what the server can answer and what is left to be sorted out here.

    A word that is the name of a state asks for that state. States add up; the first plain
    word becomes the server's text
    search (which covers id, function, error and reason), and every other term stays here.
    """
    query: dict[str, str] = {}
    rest: list[Term] = []
    states: list[str] = []
    for term in wanted.terms:
        key = _ALIASES.get(term.key, term.key)
        simple = term.on and not (term.negated or term.regex or "*" in term.value)
        if simple and _is_states(key, term.value):
            states += term.value.casefold().split(",")
        elif simple and key in _SERVER and "," not in term.value and _SERVER[key] not in query:
            query[_SERVER[key]] = term.value
        elif simple and not key and "text" not in query and len(term.value) > 1:
            query["text"] = term.value
        else:
            rest.append(replace(term, key=key))
    if states:
        query["state"] = ",".join(dict.fromkeys(states))
    return query, Filter(tuple(rest))


def _is_states(key: str, value: str) -> bool:
    return key in ("", "state") and all(part in _STATES for part in value.casefold().split(","))


def completions(
    text: str, keys: Iterable[str], values: Callable[[str], Iterable[str]], most: int = 12
) -> list[str]:
    """Whole filters that one which is being typed may become.

    Args:
        text: What stands there; its last word is completed.
        keys: What `key=value` may name.
        values: Those that are known of a key.
        most: How many are given at most.
    """
    before, gap, last = text.rpartition(" ")
    sign = "!" if last.startswith("!") else ""
    key, equals, begun = last.removeprefix("!").partition("=")
    if equals:
        last_value = begun.rpartition(",")
        known = (each for each in values(key) if each and not set(each) & set(' ",'))
        words = [
            f"{sign}{key}={last_value[0]}{last_value[1]}{each}"
            for each in dict.fromkeys(known)
            if each.startswith(last_value[2]) and each != last_value[2]
        ]
    else:
        words = [f"{sign}{each}=" for each in keys if each.startswith(key)]
    return [f"{before}{gap}{each}" for each in words[:most]]
