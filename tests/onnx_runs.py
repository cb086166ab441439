"""Exported models in ONNX Runtime, beside bpkit."""

import numpy as np
import onnxruntime

from bpkit import tree
from bpkit.interop import onnx
from bpkit.registry import backend_of, current

TOLERANCES = {"float32": {"rtol": 2e-5, "atol": 2e-6}, "float64": {"rtol": 1e-12, "atol": 1e-13}}


def draws(*shape, dtype="float32", seed=0):
    host = np.random.default_rng(seed).normal(size=shape).astype(dtype)
    chosen = current()
    return chosen.backend.from_host(host, chosen.device)


def host(x):
    return np.asarray(backend_of(x).to_host(x))


def ran(made, inputs):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {name: host(x) for name, x in inputs.items()})


def check(model, *args, dtype="float32", **options):
    """Export with any batch size, and compare for another one than the example's."""
    made = onnx.export(model, args, dynamic_batch=True, verify=False, **options)
    names = [value.name for value in made.graph.input]
    for count in (1, 5):
        given = [
            current().backend.from_host(np.take(host(x), np.arange(count) % x.shape[0], axis=0)) for x in args
        ]
        found = ran(made, dict(zip(names, given, strict=True)))
        wanted = [host(y) for y in tree.leaves(model(*given))]
        assert len(found) == len(wanted)
        for y, z in zip(found, wanted, strict=True):
            assert y.shape == z.shape
            assert y.dtype == z.dtype
            np.testing.assert_allclose(y, z, **TOLERANCES[dtype])
    return made
