"""The habits that a reader relies on: tests say what they prove, pages keep their form."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, files, module_name, tree

PAGES = sorted(
    page
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
    if "node_modules" not in page.parts
)
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


def test_every_test_says_what_it_proves() -> None:
    """A failing test's docstring is the rule that no longer holds."""
    silent = [
        f"{module_name(file)}:{node.lineno} {node.name}"
        for file in files("tests")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and ast.get_docstring(node) is None
    ]
    assert silent == []


def test_every_error_descends_from_one_root() -> None:
    """A caller who catches DtsError catches all that we raise on purpose."""
    module = tree(ROOT / "dts_core" / "errors.py")
    classes = [node for node in module.body if isinstance(node, ast.ClassDef)]
    names = {node.name for node in classes}
    outside = [
        node.name
        for node in classes
        if node.name != "DtsError"
        and not any(isinstance(base, ast.Name) and base.id in names for base in node.bases)
    ]
    assert outside == []


def test_glossary_defines_each_word_once() -> None:
    """Two definitions of one word would let code and pages drift apart."""
    text = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    words = re.findall(r"^\*\*(.+?)\*\*", text, flags=re.MULTILINE)
    assert len(words) > 30
    assert sorted(words) == sorted(set(words))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_decision_has_its_three_parts(page: Path) -> None:
    """Why, what and what follows: a decision without one of them cannot be judged later."""
    text = page.read_text("utf-8")
    parts = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert parts[:3] == ["Context", "Decision", "Consequences"]


def test_decisions_are_numbered_without_gaps() -> None:
    """A number names one decision for ever."""
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(len(DECISIONS)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """A reader who follows a link inside the repository finds the file."""
    text = page.read_text("utf-8")
    broken = [
        target
        for target in LINK.findall(text)
        if not re.match(r"[a-z]+:|#", target) and not (page.parent / target.split("#")[0]).exists()
    ]
    assert broken == []
