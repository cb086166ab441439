"""Functions that have another name in NumPy, SciPy or PyTorch, for errors that say what to write."""

import difflib
from collections.abc import Iterable, Mapping

__all__ = ["advice"]

_ELSEWHERE = {
    "abs": "absolute fabs",
    "abs(x - y) <= tolerance": "isclose allclose",
    "acos": "arccos",
    "acosh": "arccosh",
    "asin": "arcsin",
    "asinh": "arcsinh",
    "astype(x, dtype)": "cast convert_element_type",
    "atan": "arctan",
    "atan2": "arctan2",
    "atanh": "arctanh",
    "bitwise_invert": "invert bitwise_not",
    "bitwise_left_shift": "left_shift",
    "bitwise_right_shift": "right_shift",
    "broadcast_to": "expand",
    "clip": "clamp",
    "concat": "concatenate cat",
    "concat(arrays, axis=0)": "vstack row_stack",
    "concat(arrays, axis=-1)": "hstack column_stack",
    "cumulative_prod": "cumprod",
    "cumulative_sum": "cumsum",
    "divide": "true_divide div",
    "expand_dims": "unsqueeze",
    "expit": "sigmoid",
    "fft.fftn(x, axes=(-2, -1))": "fft2",
    "fft.ifftn(x, axes=(-2, -1))": "ifft2",
    "fft.rfftn(x, axes=(-2, -1))": "rfft2",
    "fft.irfftn(x, axes=(-2, -1))": "irfft2",
    "linalg.diagonal": "diag",
    "linalg.inv": "inverse",
    "linalg.pinv(a) @ b": "lstsq",
    "linalg.solve": "cho_solve solve_triangular",
    "linalg.vector_norm or linalg.matrix_norm": "norm",
    "log_expit": "logsigmoid log_sigmoid",
    "matmul": "mm bmm",
    "matmul or vecdot": "dot inner vdot",
    "max": "amax",
    "min": "amin",
    "multiply": "mul",
    "permute_dims": "transpose permute",
    "pow": "power float_power",
    "remainder": "mod",
    "reshape(x, (-1,))": "ravel flatten",
    "round": "around round_ rint",
    "special.gammaln": "lgamma",
    "subtract": "sub",
    "trunc": "fix",
    "unstack": "unbind",
}
_HERE = {other: name for name, others in _ELSEWHERE.items() for other in others.split()}


def advice(
    name: str, available: Iterable[str], elsewhere: Mapping[str, str] = _HERE, package: str = "bpkit.xp"
) -> str:
    """What to write for a name that does not exist, as the end of a sentence; empty if nothing is near.

    Parameters
    ----------
    name : str
    available : iterable of str
        The names there are, those of the extensions with their module: ``"linalg.inv"``.
    elsewhere : mapping of str to str
        What to write for a name of another library.
    package : str
        Where all of them are.
    """
    if name in elsewhere:
        return f"; write {package}.{elsewhere[name]}"
    bare = {full.rpartition(".")[2]: full for full in available}
    plain = {_plain(one): one for one in bare}
    if name in bare:
        close = [name]
    elif _plain(name) in plain:
        close = [plain[_plain(name)]]
    else:
        close = difflib.get_close_matches(name, bare, cutoff=0.75)
    return f"; did you mean {' or '.join(f'{package}.{bare[found]}' for found in close)}?" if close else ""


def _plain(name: str) -> str:
    """A name as one remembers it: ``LeakyReLU`` and ``leaky_relu`` are the same."""
    return name.lower().replace("_", "")
