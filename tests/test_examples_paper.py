"""The programs that reproduce the paper of 1986: their data, and their training beside one by hand."""

import runpy
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import bpkit
from bpkit import random

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def by_hand(
    weights: list[np.ndarray], cases: np.ndarray, desired: np.ndarray, sweeps: int
) -> list[np.ndarray]:
    """Backpropagation of one 6-2-1 network as the paper writes it: equations 4 to 7, and 9."""
    changes = [np.zeros_like(w) for w in weights]
    for _ in range(sweeps):
        w1, b1, w2, b2 = weights
        hidden = 1 / (1 + np.exp(-(cases @ w1.T + b1)))
        output = 1 / (1 + np.exp(-(hidden @ w2.T + b2)))
        d_output = (output - desired) * output * (1 - output)
        d_hidden = (d_output @ w2) * hidden * (1 - hidden)
        slopes = [d_hidden.T @ cases, d_hidden.sum(axis=0), d_output.T @ hidden, d_output.sum(axis=0)]
        changes = [0.9 * c - 0.1 * s for c, s in zip(changes, slopes, strict=True)]
        weights = [w + c for w, c in zip(weights, changes, strict=True)]
    return weights


def test_symmetry_networks_trained_at_once_are_each_what_backpropagation_by_hand_makes() -> None:
    program = load("rhw1986_symmetry")
    rows = list(product([0.0, 1.0], repeat=6))
    cases, desired = np.asarray(rows), np.asarray([[float(row == row[::-1])] for row in rows])
    nets = bpkit.vmap(program["network"])(random.split(random.key(3), 4))
    trained, after, _ = program["train"](nets, cases, desired, 60)
    assert after == [-1] * 4
    for i in range(4):
        first, last = ([n[0].weight[i], n[0].bias[i], n[2].weight[i], n[2].bias[i]] for n in (nets, trained))
        for expected, found in zip(by_hand(first, cases, desired, 60), last, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_symmetry_names_the_ratio_of_the_weights() -> None:
    patterns = load("rhw1986_symmetry")["patterns"]
    sides = np.asarray([[14.2, 3.6, 7.2], [2.0, -4.1, 3.0], [1.0, 1.0, 1.0], [1.0, 2.0, 4.0]])
    unit = np.concatenate([sides, -sides[:, ::-1]], axis=1)
    unit[3, 5] = 1.0  # with the wrong sign
    found = patterns(np.stack([unit, -unit], axis=1))
    assert [one["shape"] for one in found] == ["1 : 2 : 4", "2 : 3 : 4", "another", "another"]
    assert found[0]["mirrored"] == found[0]["opposite"] == 0.0
    assert found[3]["mirrored"] == 0.5


def test_family_trees_have_104_facts() -> None:
    program = load("rhw1986_family_trees")
    facts, names = program["family_facts"](), program["PEOPLE"]
    counts = Counter(relation for _, relation in facts)
    assert [counts[name] for name in ("father", "mother", "son", "daughter")] == [6, 6, 6, 6]
    assert [counts[name] for name in ("husband", "wife", "brother", "sister")] == [5, 5, 3, 3]
    assert [counts[name] for name in ("uncle", "aunt", "nephew", "niece")] == [2, 2, 4, 4]
    english = {(names[p], relation): {names[q] for q in answer} for (p, relation), answer in facts.items()}
    assert english["Colin", "aunt"] == {"Jennifer", "Margaret"}
    assert english["Charlotte", "uncle"] == {"Arthur", "Charles"}
    assert english["Charles", "nephew"] == english["Victoria", "son"] == {"Colin"}
    assert english["James", "wife"] == english["Arthur", "sister"] == {"Victoria"}
    assert english["James", "father"] == english["Christine", "husband"] == {"Andrew"}

    people, relations, answers = program["encoded"](facts)
    assert (people.shape, relations.shape, answers.shape) == ((104, 24), (104, 12), (104, 24))
    assert len({(*p, *r) for p, r in zip(people.tolist(), relations.tolist(), strict=True)}) == 104
    np.testing.assert_array_equal(answers[:52, :12], answers[52:, 12:])
    assert not answers[:52, 12:].any() and len(set(names)) == 24


def test_family_trees_say_what_a_unit_stands_for() -> None:
    program = load("rhw1986_family_trees")
    activity = np.zeros((1, 24, 2))
    activity[0, 12:, 0] = 1.0
    activity[0, :, 1] = np.arange(24) % 2
    share = program["explained"](activity, program["GROUPS"]["nationality"])
    np.testing.assert_allclose(share, [[1.0, 0.0]], atol=1e-12)


def test_recurrent_copies_of_the_weights_have_gradients_that_add_up_to_that_of_tied_weights() -> None:
    program = load("rhw1986_recurrent")
    letters, digits = program["sequences"]()
    assert [int(np.argmax(d)) + 1 for d in digits[1]] == [1, 2, 2, 3]  # A, B
    assert [int(np.argmax(d)) + 1 for d in digits[23]] == [1, 3, 2, 1]  # E, D
    assert max(program["check_sums"](program["network"](random.key(0)), letters, digits)) < 1e-12
