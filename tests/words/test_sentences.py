"""Modules that speak every language: no sentence in them that is not a Phrase."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from itgrix_bx.words import LANGUAGES, Phrase, as_is, listed

ROOT = Path(__file__).parents[2]
SPEAKING = [
    *(path.relative_to(ROOT) for path in sorted((ROOT / "itgrix_bx/pbx/installer").glob("*.py"))),
    *(Path("itgrix_bx/cli") / name for name in ("dialplan.py", "numbers.py")),
    *(Path("itgrix_bx/calls") / name for name in ("number_lists.py", "number_rules.py", "numbering.py")),
]
_WORDS = re.compile(r"[A-Za-z']+(?:[,;:]? [A-Za-z']+){2}")
# What is written into the PBX's files is the same in every language, for a second `install` compares it; and what is
# for Asterisk and `patch`.
NOT_SAID = re.compile(
    r"exten =>|same =>|^; ---- |comes right after ours\n$|^ come here and go on in \[$|^ and go on in \["
    r"|^Asterisk's manager$|^settings of the hooks$|^the service's user$|takes it away$"
    r"|^\(the (line before|file is ours)|^(module|core|pjsip|dialplan) show "
    r"|^channel originate |There is no existence|No newline at end of file"
)


def sentences(tree: ast.AST) -> Iterator[str]:
    """The texts of a module that look like a sentence, but for documentation, --help and phrases."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Phrase", "as_is"):
            constant = isinstance(node.args[0], ast.Constant)
            assert constant or node.func.id == "as_is", f"{ast.unparse(node)}: nobody could translate that"
            continue
        if isinstance(node, ast.keyword) and node.arg == "help":
            continue
        if isinstance(node, ast.Constant):
            text = node.value.decode("ascii") if isinstance(node.value, bytes) else str(node.value)
            if _WORDS.search(text) and not NOT_SAID.search(text):
                yield text
        yield from sentences(node)


@pytest.mark.parametrize("module", SPEAKING, ids=str)
def test_a_module_says_nothing_but_phrases(module: Path) -> None:
    assert list(sentences(ast.parse((ROOT / module).read_text(encoding="utf-8")))) == []


def test_a_sentence_that_is_no_phrase_is_found() -> None:
    source = 'def f() -> None:\n    """It does a thing."""\n    say(f"the file {name} is gone for good")\n'
    assert list(sentences(ast.parse(source))) == [" is gone for good"]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_commands_and_lists_are_said_in_every_language(lang: str) -> None:
    assert as_is("asterisk -rx {x}").said(lang) == "asterisk -rx {x}"
    assert listed([Phrase("numbers"), as_is("x")]).said(lang) == {"en": "numbers, x", "ru": "номера, x"}[lang]
