"""Models as ONNX files, which other runtimes and languages run.

The model runs once under a recorder, which notes what it does to arrays; that is done again on ndonnx's
arrays, which make the graph. So any function of arrays can be exported, and not only layers.

Needs ndonnx, and to check what was made onnxruntime: ``pip install ndonnx onnxruntime``.
"""

try:
    import ndonnx as _ndonnx  # noqa: F401
except ImportError as error:
    raise ImportError(
        "bpkit.interop.onnx needs ndonnx, which is not installed: pip install ndonnx onnxruntime"
    ) from error

from bpkit.errors import ExportError
from bpkit.interop.onnx.exporting import export

__all__ = ["ExportError", "export"]
