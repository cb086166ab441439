"""Whether ONNX Runtime computes what bpkit computes."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import onnx

from bpkit.errors import ExportError
from bpkit.registry import backend_of
from bpkit.transforms.arguments import is_array

__all__ = ["check"]

TOLERANCES = {"float16": (1e-2, 1e-3), "float32": (1e-4, 1e-5), "float64": (1e-9, 1e-11)}
"""By the narrowest dtype of the inputs and the output, relative to the element and to the largest one of the
output; both libraries round."""


def check(
    called: str,
    made: onnx.ModelProto,
    inputs: Mapping[str, Any],
    outputs: Sequence[str],
    results: Sequence[Any],
    lengths: Mapping[str, int],
) -> None:
    """Run both, if onnxruntime is installed; `lengths` of dynamic axes, if they are not the example's.

    Raises
    ------
    ExportError
        If onnxruntime refuses the model, or computes something else; the text names the output.
    """
    if find_spec("onnxruntime") is None:
        return
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    arrays = {name: backend_of(x).to_host(x) for name, x in inputs.items()}
    try:
        session = onnxruntime.InferenceSession(
            made.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        found = session.run(list(outputs), arrays)
    except Exception as error:
        shapes = ", ".join(f"{name} of shape {x.shape}" for name, x in arrays.items())
        raise ExportError(f"{called}: onnxruntime cannot run the model on {shapes}: {error}") from error
    for name, x, y in zip(outputs, found, results, strict=True):
        wanted = np.asarray(backend_of(y).to_host(y) if is_array(y) else y)
        kinds = [x.dtype for x in (wanted, *arrays.values()) if x.dtype.kind == "f"]
        narrowest = str(min(kinds, key=lambda dtype: dtype.itemsize, default=wanted.dtype))
        tolerances = TOLERANCES.get(narrowest, (0.0, 0.0)) if wanted.dtype.kind == "f" else (0.0, 0.0)
        _compare(called, name, np.asarray(x), wanted, lengths, tolerances)


def _compare(
    called: str,
    name: str,
    found: np.ndarray[Any, Any],
    wanted: np.ndarray[Any, Any],
    lengths: Mapping[str, int],
    tolerances: tuple[float, float],
) -> None:
    where = ", ".join(f"{key}={length}" for key, length in lengths.items())
    where = f" with {where}" if where else " for the example"
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        raise ExportError(
            f"{called}: onnxruntime's {name} has{where} shape {found.shape} and dtype {found.dtype}, bpkit's "
            f"{wanted.shape} and {wanted.dtype}"
        )
    relative, absolute = tolerances
    finite = wanted[np.isfinite(wanted)] if wanted.dtype.kind == "f" else wanted
    scale = float(np.max(np.abs(finite), initial=0.0)) if relative else 0.0
    if not np.allclose(
        found, wanted, relative, absolute * max(1.0, scale), equal_nan=wanted.dtype.kind == "f"
    ):
        with np.errstate(invalid="ignore"):
            gap = np.nanmax(np.abs(found.astype(np.float64) - wanted.astype(np.float64)))
        cause = (
            "The model does something else at that length, as after a branch on it: export it with that axis "
            "as it is in the example, or without the branch."
            if lengths
            else "Export parts of the model to find the function that ONNX Runtime computes otherwise."
        )
        raise ExportError(
            f"{called}: onnxruntime's {name} differs from bpkit's by {gap:.3g}{where}. {cause} "
            f"Nothing was written; verify=False would write a file that computes this"
        )
