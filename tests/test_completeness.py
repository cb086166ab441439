"""Nothing of the namespace is without a derivative that is tested, and the tests notice a wrong one."""

import ast
import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import CASES, STOPS
from cases.check import TOLERANCE, check, first_order, host, problem

import bpkit
from bpkit import namespace
from bpkit._protocol import Backend
from bpkit.graph import Edge, Node
from bpkit.rules.registry import RULES, Elementwise, Rule

CASED = {case.name for case in CASES}
WITHOUT_ARRAYS = {
    *("fft.fftfreq", "fft.rfftfreq"),
    *("arange", "broadcast_shapes", "empty", "eye", "linspace", "ones", "zeros"),
    *("can_cast", "dtype_of", "finfo", "iinfo", "isdtype", "result_type"),
}
CHAPTERS = {"fft.": namespace.fft, "linalg.": namespace.linalg, "special.": namespace.special}
# What linalg repeats from the main namespace is the same function.
NAMES = {name for name in namespace.__all__ if callable(getattr(namespace, name))} | {
    prefix + name
    for prefix, chapter in CHAPTERS.items()
    for name in chapter.__all__
    if name not in namespace.__all__
}
FUNCTIONS = sorted(NAMES - WITHOUT_ARRAYS)


def called() -> set[str]:
    """Every name that reaches the engine, read from the source: ``call("add", …)`` and the operators."""
    found = set()
    for path in sorted(Path(bpkit.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                name = node.args[0]
                ends_in_call = node.func.id in ("call", "_operator", "_reflected", "_in_place")
                if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
                    continue
                if ends_in_call:
                    found.add(name.value)
                elif node.func.id == "special_function":
                    found.add(f"special.{name.value}")
    return found


CALLED = called()


def missing(name: str, rules: Mapping[str, Rule | None] = RULES) -> str | None:
    """What has to be added for a function, or None if it has all that it needs."""
    if name in rules and rules[name] is None:
        if name in STOPS or name in CASED:
            return None
        return (
            f"{name} is declared to have no gradient and nothing tests it: add a call of it to STOPS in "
            f"tests/cases/stops.py"
        )
    if name in CALLED and name not in rules:
        return (
            f"{name} reaches bpkit.trace.call and has no entry in RULES: declare its derivative in "
            f"bpkit/rules (elementwise, linear or custom), or that it has none (no_gradient), and add it to "
            f"the table in tests/cases"
        )
    rule = rules.get(name)
    if name not in CASED and name not in STOPS and (rule is None or differentiated(rule)):
        return (
            f"{name} has no case: add at least one to tests/cases (elementwise.py, reductions.py or "
            f"shapes.py), or, if no gradient flows through it, a call of it to STOPS in "
            f"tests/cases/stops.py; if it takes no arrays, name it in WITHOUT_ARRAYS in {Path(__file__).name}"
        )
    return None


@pytest.mark.parametrize("name", sorted({*FUNCTIONS, *CALLED, *RULES}))
def test_every_function_has_a_derivative_and_a_case_or_is_declared_to_have_none(name: str) -> None:
    complaint = missing(name)
    assert complaint is None, complaint


def test_what_is_missing_is_said_with_the_place_where_to_add_it() -> None:
    undeclared = {name: rule for name, rule in RULES.items() if name != "sin"}
    assert "has no case: add at least one to tests/cases" in str(missing("brand_new"))
    assert "declare its derivative in bpkit/rules" in str(missing("sin", undeclared))
    assert "STOPS in tests/cases/stops.py" in str(missing("brand_new", {"brand_new": None}))


def test_no_rule_and_no_case_is_left_over() -> None:
    assert sorted(set(RULES) - CALLED) == []
    everywhere = {prefix + name for prefix, chapter in CHAPTERS.items() for name in chapter.__all__}
    assert sorted((CASED | set(STOPS)) - set(FUNCTIONS) - everywhere - CALLED) == []
    assert sorted(WITHOUT_ARRAYS - NAMES) == []


@pytest.mark.parametrize("name", sorted(STOPS))
def test_no_gradient_flows_through(name: str, backend: Backend) -> None:
    def fun(x: Any) -> Any:
        return namespace.astype(STOPS[name](namespace, x), "float64")

    x = backend.from_host(np.asarray([0.3, -1.2, 2.5]))
    out, pullback = bpkit.vjp(fun, x)
    (gradient,) = pullback(namespace.ones_like(out))
    _, tangent = bpkit.jvp(fun, (x,), (x,))
    assert gradient.shape == x.shape and gradient.dtype == x.dtype
    assert not any(part.any() for part in host([gradient, tangent], backend))


class Mutant(Rule):
    """A rule with one thing wrong.

    Parameters
    ----------
    rule : Rule
    position : int
        Of the operand whose derivative is wrong.
    factor : float
        By which it is wrong; None exchanges the derivatives of the first two operands instead.
    mode : {"reverse", "forward"}
    """

    def __init__(self, rule: Rule, position: int, factor: float | None, mode: str) -> None:
        super().__init__(rule.name, rule.operands)
        self.rule, self.position, self.factor, self.mode = rule, position, factor, mode

    def _split(self, links: list[Any]) -> tuple[list[Any], list[Any]]:
        """The links with that of the operand only, and with those of the others."""
        wrong = [link if i == self.position else None for i, link in enumerate(links)]
        return wrong, [None if i == self.position else link for i, link in enumerate(links)]

    def edges(
        self, parents: list[Node | None], values: list[Any], out: Any, static: dict[str, Any]
    ) -> list[Edge]:
        if self.mode == "forward":
            return self.rule.edges(parents, values, out, static)
        if self.factor is None:
            return self.rule.edges([parents[1], parents[0], *parents[2:]], values, out, static)
        wrong, right = self._split(parents)
        scaled = [
            (parent, lambda g, *saved, pull=pull: self.factor * pull(g, *saved), saved)
            for parent, pull, saved in self.rule.edges(wrong, values, out, static)
        ]
        return [*scaled, *self.rule.edges(right, values, out, static)]

    def tangent(self, tangents: list[Any], values: list[Any], out: Any, static: dict[str, Any]) -> Any:
        if self.mode == "reverse":
            return self.rule.tangent(tangents, values, out, static)
        if self.factor is None:
            return self.rule.tangent([tangents[1], tangents[0], *tangents[2:]], values, out, static)
        parts = []
        for links, factor in zip(self._split(tangents), (self.factor, 1.0), strict=True):
            if any(t is not None for t in links):
                t = self.rule.tangent(links, values, out, static)
                parts += [] if t is None else [t if factor == 1.0 else _scaled(t, factor)]
        return functools.reduce(_added, parts) if parts else None


def _scaled(t: Any, factor: float) -> Any:
    """A tangent, or the tangents of several results, times a number."""
    if isinstance(t, tuple):
        return tuple([_scaled(part, factor) for part in t])
    return None if t is None else factor * t


def _added(t: Any, u: Any) -> Any:
    """The sum of two tangents, or of those of several results; None is zero."""
    if isinstance(t, tuple):
        return tuple([_added(x, y) for x, y in zip(t, u, strict=True)])
    if t is None or u is None:
        return u if t is None else t
    return t + u


def differentiated(rule: Rule) -> list[int]:
    """Positions of the operands that a rule has a derivative for; of any number, the first."""
    if isinstance(rule, Elementwise):
        return [i for i, pull, _ in rule.ways if not refuses(pull)]
    pulls = vars(rule)["pulls"]
    return [i for i, operand in enumerate(rule.operands) if operand.lstrip("*") in pulls]


def refuses(pull: Callable[..., Any]) -> bool:
    """Whether a partial has no closed form; tests/test_special.py asks for each of them."""
    partial = inspect.getclosurevars(pull).nonlocals.get("partial")
    return getattr(partial, "__qualname__", "").startswith("no_closed_form.")


def mutants() -> list[Any]:
    """Every rule, with the derivative of every operand scaled, negated and exchanged, in both modes."""
    found = []
    for name, rule in RULES.items():
        if rule is None:
            continue
        positions = differentiated(rule)
        for mode in ("reverse", "forward"):
            wrongs = [
                (i, factor, f"{rule.operands[i]}*{factor}") for i in positions for factor in (1.01, -1.0)
            ]
            # The two of a sum are the same.
            if positions[:2] == [0, 1] and name != "add":
                wrongs.append((0, None, "exchanged"))
            found += [
                pytest.param(Mutant(rule, i, factor, mode), id=f"{name}-{what}-{mode}")
                for i, factor, what in wrongs
            ]
    return found


def noticed(mutant: Mutant, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Exception | None:
    """What the cases of a function say when this is its rule."""
    monkeypatch.setitem(RULES, mutant.name, mutant)
    for case in CASES:
        if case.name == mutant.name:
            try:
                check(*problem(case, backend), backend, first_order(case), TOLERANCE["finite differences"])
            except Exception as error:  # noqa: BLE001  wrong shapes are noticed by any error
                return error
    return None


@pytest.mark.parametrize("backend", ["numpy"], indirect=True)
@pytest.mark.parametrize("mutant", mutants())
def test_a_wrong_derivative_is_noticed(
    mutant: Mutant, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert noticed(mutant, backend, monkeypatch) is not None, f"no case of {mutant.name} notices"


@pytest.mark.parametrize("backend", ["numpy"], indirect=True)
@pytest.mark.parametrize("mode", ["reverse", "forward"])
@pytest.mark.parametrize(
    "name", sorted(name for name, rule in RULES.items() if rule is not None and differentiated(rule))
)
def test_a_right_derivative_is_not(
    name: str, mode: str, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = RULES[name]
    assert rule is not None
    complaint = noticed(Mutant(rule, differentiated(rule)[0], 1.0, mode), backend, monkeypatch)
    assert complaint is None, complaint
