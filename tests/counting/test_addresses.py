"""Compiled loops and addresses: an array of a loop's own is freed at its last mention, and an address is none."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDERS = ("connectors", "detectors", "stream_monitor")
SOURCES = sorted(p for folder in FOLDERS for p in (Path(__file__).parents[2] / folder).rglob("*.py"))
TAKEN_AND_FREED = """
@compiled
def loop(n):
    scratch = np.zeros(3)
    words, first = np.empty(1), scratch.ctypes.data
    return words.ctypes.data
"""


def _compiled(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            marks = {n.id for d in node.decorator_list for n in ast.walk(d) if isinstance(n, ast.Name)}
            if marks & {"compiled", "inlined", "made"}:
                yield node


def _assigned(node: ast.Assign) -> Iterator[tuple[ast.expr, ast.expr]]:
    for target in node.targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            yield from zip(target.elts, node.value.elts, strict=True)
        else:
            yield target, node.value


def addresses_of_own(source: str) -> list[str]:
    """ "function.array" of each array that a compiled function makes and takes the address of."""
    found = []
    for function in _compiled(ast.parse(source)):
        own = {
            target.id
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            for target, value in _assigned(node)
            if isinstance(target, ast.Name) and isinstance(value, ast.Call)
        }
        found += [
            f"{function.name}.{node.value.id}"
            for node in ast.walk(function)
            if isinstance(node, ast.Attribute)
            and node.attr == "ctypes"
            and isinstance(node.value, ast.Name)
            and node.value.id in own
        ]
    return found


def test_what_is_looked_for_is_found() -> None:
    assert sorted(addresses_of_own(TAKEN_AND_FREED)) == ["loop.scratch", "loop.words"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_loop_takes_the_address_of_an_array_of_its_own(folder: str) -> None:
    looked = 0
    for path in SOURCES:
        if folder in path.parts:
            source = path.read_text()
            looked += sum(1 for _ in _compiled(ast.parse(source)))
            assert addresses_of_own(source) == [], path
    assert looked > 3
