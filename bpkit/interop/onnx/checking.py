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

TOLERANCES = {"float32": (1e-4, 1e-5), "float64": (1e-9, 1e-11)}
"""By dtype, relative to the element and to the largest one of the output; both libraries round."""


def check(
    called: str,
    made: onnx.ModelProto,
    inputs: Mapping[str, Any],
    outputs: Sequence[str],
    results: Sequence[Any],
) -> None:
    """Run both, if onnxruntime is installed.

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
        _compare(called, name, np.asarray(x), wanted)


def _compare(called: str, name: str, found: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> None:
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        raise ExportError(
            f"{called}: onnxruntime's {name} has shape {found.shape} and dtype {found.dtype}, bpkit's "
            f"{wanted.shape} and {wanted.dtype}"
        )
    relative, absolute = TOLERANCES.get(str(wanted.dtype), (0.0, 0.0))
    finite = wanted[np.isfinite(wanted)] if wanted.dtype.kind == "f" else wanted
    scale = float(np.max(np.abs(finite), initial=0.0)) if relative else 0.0
    if not np.allclose(
        found, wanted, relative, absolute * max(1.0, scale), equal_nan=wanted.dtype.kind == "f"
    ):
        with np.errstate(invalid="ignore"):
            gap = np.nanmax(np.abs(found.astype(np.float64) - wanted.astype(np.float64)))
        raise ExportError(
            f"{called}: onnxruntime's {name} differs from bpkit's by {gap:.3g}; "
            f"verify=False exports it anyway"
        )
