"""Sums of products over named axes."""

from collections.abc import Hashable, Iterable, Sequence
from itertools import combinations
from math import prod

from bpkit._protocol import RawArray
from bpkit.errors import ShapeError
from bpkit.namespace.arithmetic import multiply
from bpkit.namespace.linalg import diagonal, matmul
from bpkit.namespace.manipulation import permute_dims, reshape
from bpkit.namespace.operands import check_arrays
from bpkit.namespace.statistical import sum

__all__ = ["einsum"]

Label = Hashable
"""A letter, or for an axis under an ellipsis its place, counted from the last of them with -1."""
Labels = tuple[Label, ...]
Term = tuple[RawArray, Labels]
"""An array, and the label of each of its axes."""


def einsum(subscripts: str, /, *operands: RawArray) -> RawArray:
    """Products of the operands' elements, summed over all axes that are not in the result.

    Every letter stands for an axis: operands are multiplied where equal letters have equal places, and added
    up over the letters that the result does not have. With more than two operands, those two are multiplied
    first whose product is smallest beside them; every product is a matrix product.

    Derivative: for each operand, the product of the cotangent and all other operands.

    Parameters
    ----------
    subscripts : str
        Letters for the axes of each operand, between commas, then ``->`` and those of the result. A letter
        twice in one operand takes the diagonal. An ellipsis stands for further axes, which broadcast. Without
        an arrow the result has the axes of the ellipsis, then the letters that occur once, in alphabetical
        order.
    *operands : array of any numeric dtype
        An axis of length 1 broadcasts.

    Returns
    -------
    array of the promoted dtype

    Raises
    ------
    ValueError
        If the subscripts cannot be read, or do not have as many terms as there are operands.
    ShapeError
        If a term does not have as many letters as its operand has axes, or axes of one letter have different
        lengths.

    References
    ----------
    The order of multiplication is the greedy one of D. G. A. Smith and J. Gray, opt_einsum - A Python package
    for optimizing contraction order for einsum-like expressions, J. Open Source Softw. 3 (26), 753, 2018.

    Examples
    --------
    >>> from bpkit import xp
    >>> x = xp.asarray([[1.0, 2.0], [3.0, 4.0]])
    >>> xp.einsum("ij,j->i", x, xp.asarray([1.0, 10.0]))
    array([21., 43.])
    >>> xp.einsum("ii->i", x)
    array([1., 4.])
    """
    terms, kept = _read(subscripts, operands)
    lengths = _lengths(subscripts, terms)
    terms = [_diagonal(*_squeezed(x, labels, lengths)) for x, labels in terms]
    while len(terms) > 1:
        i, j = _cheapest(terms, kept, lengths)
        first, second = terms[i], terms[j]
        rest = [term for k, term in enumerate(terms) if k not in (i, j)]
        needed = set(kept).union(*(labels for _, labels in rest))
        x, y = _summed(*first, needed.union(second[1])), _summed(*second, needed.union(first[1]))
        terms = [*rest, _product(x, y, needed)]
    last = _summed(*terms[0], set(kept))
    return _ordered(*last, kept)


# Reading.


def _read(subscripts: str, operands: Sequence[RawArray]) -> tuple[list[Term], Labels]:
    """Each operand with the labels of its axes, and the labels of the result."""
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    parts = inputs.split(",")
    if len(parts) != len(operands):
        raise ValueError(f"einsum: {subscripts!r} has {len(parts)} terms for {len(operands)} operands")
    for i, x in enumerate(operands):
        check_arrays("einsum", **{f"operand {i}": x})
    terms = [(x, _labels(subscripts, part, x.ndim)) for part, x in zip(parts, operands, strict=True)]
    found = [label for _, labels in terms for label in labels]
    hidden = max((len(labels) - len(_letters(part)) for part, (_, labels) in zip(parts, terms, strict=True)))
    if not arrow:
        once = sorted(letter for letter in _letters(inputs) if found.count(letter) == 1)
        return terms, (*range(-hidden, 0), *once)
    kept = _labels(subscripts, output, len(_letters(output)) + (hidden if "..." in output else 0))
    for label in kept:
        if label not in found or kept.count(label) > 1:
            raise ValueError(
                f"einsum: {label!r} in the result of {subscripts!r}; expected letters of the operands, "
                f"each once"
            )
    return terms, kept


def _letters(part: str) -> str:
    return part.replace("...", "").replace(",", "")


def _labels(subscripts: str, part: str, ndim: int) -> Labels:
    """The labels of `ndim` axes."""
    before, ellipsis, after = part.partition("...")
    letters = before + after
    if not all(letter.isascii() and letter.isalpha() for letter in letters):
        raise ValueError(
            f"einsum: cannot read {part!r} in {subscripts!r}; expected letters and at most one ellipsis"
        )
    hidden = ndim - len(letters)
    if hidden < 0 or (hidden and not ellipsis):
        raise ShapeError(
            f"einsum: {part!r} in {subscripts!r} has {len(letters)} letters for an operand with {ndim} axes"
        )
    return (*before, *range(-hidden, 0), *after)


def _lengths(subscripts: str, terms: Iterable[Term]) -> dict[Label, int]:
    """The length that each label stands for."""
    lengths: dict[Label, int] = {}
    for x, labels in terms:
        for label, length in zip(labels, x.shape, strict=True):
            known = lengths.setdefault(label, length)
            if known != length and 1 not in (known, length):
                name = f"axis {label} of the ellipsis" if isinstance(label, int) else f"{label!r}"
                raise ShapeError(
                    f"einsum: {name} in {subscripts!r} stands for axes of lengths {known} and {length}"
                )
            if known == 1:
                lengths[label] = length
    return lengths


# Single terms.


def _squeezed(x: RawArray, labels: Labels, lengths: dict[Label, int]) -> Term:
    """Without the axes that broadcast: in a product, what has no such axis is the same all along it."""
    left = [i for i, label in enumerate(labels) if x.shape[i] == lengths[label]]
    return _shaped(x, tuple(x.shape[i] for i in left)), tuple(labels[i] for i in left)


def _diagonal(x: RawArray, labels: Labels) -> Term:
    """Every label once: of axes that have the same one, the diagonal."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            others = [k for k in range(len(labels)) if k not in (i, j)]
            x = diagonal(permute_dims(x, (*others, i, j)))
            labels = (*(labels[k] for k in others), label)
    return x, labels


def _summed(x: RawArray, labels: Labels, needed: set[Label]) -> Term:
    """Without the axes that nothing else has."""
    axes = tuple(i for i, label in enumerate(labels) if label not in needed)
    if not axes:
        return x, labels
    return sum(x, axis=axes, dtype=x.dtype), tuple(label for label in labels if label in needed)


# Products of two.


def _cheapest(terms: Sequence[Term], kept: Labels, lengths: dict[Label, int]) -> tuple[int, int]:
    """The pair whose product has the fewest elements, less those of the pair itself."""

    def growth(pair: tuple[int, int]) -> int:
        both = {*terms[pair[0]][1], *terms[pair[1]][1]}
        needed = set(kept).union(*(labels for k, (_, labels) in enumerate(terms) if k not in pair))
        sizes = [prod(lengths[label] for label in terms[k][1]) for k in pair]
        return prod(lengths[label] for label in both & needed) - sizes[0] - sizes[1]

    return min(combinations(range(len(terms)), 2), key=growth)


def _product(first: Term, second: Term, needed: set[Label]) -> Term:
    """A matrix product: over the axes that both have and nothing else needs, for each of those it does."""
    (x, of_x), (y, of_y) = first, second
    each = [label for label in of_x if label in of_y and label in needed]
    over = [label for label in of_x if label in of_y and label not in needed]
    rows = [label for label in of_x if label not in of_y]
    columns = [label for label in of_y if label not in of_x]
    left, right = _matrices(x, of_x, each, rows, over), _matrices(y, of_y, each, over, columns)
    out = matmul(left, right) if over else multiply(left, right)
    lengths = dict(zip((*of_x, *of_y), (*x.shape, *y.shape), strict=True))
    labels = (*each, *rows, *columns)
    return _shaped(out, tuple(lengths[label] for label in labels)), labels


def _matrices(x: RawArray, labels: Labels, *groups: Sequence[Label]) -> RawArray:
    """A stack of matrices: the axes of the first group, and those of each other group as one."""
    x = _ordered(x, labels, [label for group in groups for label in group])
    count = len(groups[0])
    flat, start = [], count
    for group in groups[1:]:
        flat.append(prod(x.shape[start : start + len(group)]))
        start += len(group)
    return _shaped(x, (*x.shape[:count], *flat))


# What is as it should be stays as it is: every function called is a step of the derivative too.


def _ordered(x: RawArray, labels: Labels, wanted: Sequence[Label]) -> RawArray:
    order = tuple(labels.index(label) for label in wanted)
    return x if order == tuple(range(x.ndim)) else permute_dims(x, order)


def _shaped(x: RawArray, shape: tuple[int, ...]) -> RawArray:
    return x if tuple(x.shape) == shape else reshape(x, shape)
