"""einops finds a tensor's operations by its type; ``einops.array_api`` asks its namespace."""

import einops
import numpy as np
from einops import array_api

from .call import MIXED, POSITIVE, RNG, call, stop

__all__ = ["CALLS", "STOPS"]

CUBE = RNG.normal(size=(2, 4, 6))
ROWS = RNG.normal(size=(3, 6))
PACKED = np.concatenate([CUBE[0], CUBE[1, :1]])
# Raw arrays of array-api-strict einops does not know; torch's have no __array_namespace__.
STRICT, TORCH = "array_api_strict", "torch"
KINDS = ("sum", "mean", "max", "min", "prod")

CALLS = [
    call("einops.rearrange", lambda x: einops.rearrange(x, "a b c -> b (a c)"), CUBE, not_on=STRICT),
    call(
        "einops.rearrange a list",
        lambda x: einops.rearrange([x, x * 2], "k a b c -> k b (a c)"),
        CUBE,
        not_on=STRICT,
    ),
    call(
        "einops.rearrange apart",
        lambda x: einops.rearrange(x, "a (h w) c -> h a w c", h=2),
        CUBE,
        not_on=STRICT,
    ),
    *(
        call(
            f"einops.reduce by {kind}",
            lambda x, kind=kind: einops.reduce(x, "a b c -> a c", kind),
            CUBE,
            not_on=STRICT,
        )
        for kind in KINDS
    ),
    call(
        "einops.reduce windows",
        lambda x: einops.reduce(x, "a (h 2) (w 3) -> a h w", "max"),
        CUBE,
        not_on=STRICT,
    ),
    call("einops.repeat", lambda x: einops.repeat(x, "a b -> (a 2) b c", c=3), MIXED, not_on=STRICT),
    call("einops.pack", lambda x, y: einops.pack([x, y], "* c")[0], CUBE, ROWS, not_on=STRICT),
    call("einops.unpack", lambda x: einops.unpack(x, [(2,), (1, 3)], "* c"), PACKED, not_on=STRICT),
    call(
        "einops.einsum", lambda x, y: einops.einsum(x, y, "a b, c b -> a c"), MIXED, POSITIVE, not_on=STRICT
    ),
    call(
        "einops.array_api rearrange",
        lambda x: array_api.rearrange(x, "a b c -> b (a c)"),
        CUBE,
        not_on="torch array_api_strict",
    ),
    *(
        call(
            f"einops.array_api reduce by {kind}",
            lambda x, kind=kind: array_api.reduce(x, "a b c -> a c", kind),
            CUBE,
            not_on=TORCH,
        )
        for kind in KINDS
    ),
    call(
        "einops.array_api repeat",
        lambda x: array_api.repeat(x, "a b -> (a 2) b c", c=3),
        MIXED,
        not_on="torch array_api_strict",
    ),
    call("einops.array_api pack", lambda x, y: array_api.pack([x, y], "* c")[0], CUBE, ROWS, not_on=TORCH),
    call(
        "einops.array_api unpack", lambda x: array_api.unpack(x, [(2,), (1, 3)], "* c"), PACKED, not_on=TORCH
    ),
]

STOPS = [
    stop("einops.asnumpy", einops.asnumpy, MIXED, line="return get_backend(tensor).to_numpy(tensor)"),
    stop("einops.array_api asnumpy", array_api.asnumpy, MIXED, line="return np.from_dlpack(tensor)"),
]
