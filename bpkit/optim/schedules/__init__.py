"""Schedules: learning rates that change from step to step.

A schedule is a function of the number of steps done before. Of an int32 array it gives an array of the same
shape, in the widest floating dtype of its library, and can be compiled; of a Python int it gives a float,
to be printed or drawn. An optimizer takes one wherever it takes a learning rate.

Settings have the names and the meaning that they have in PyTorch. The schedules there that are not here are
short: ``ConstantLR`` is ``join([factor * rate, rate], [n])``, and ``LambdaLR`` any function of the count.
"""

from typing import TYPE_CHECKING

from bpkit.optim.schedules.falling import (
    constant,
    exponential,
    inverse_sqrt,
    linear,
    multi_step,
    polynomial,
    step,
)
from bpkit.optim.schedules.joining import join, warmup
from bpkit.optim.schedules.waves import cosine, cosine_restarts, one_cycle

__all__ = [
    "constant",
    "cosine",
    "cosine_restarts",
    "exponential",
    "inverse_sqrt",
    "join",
    "linear",
    "multi_step",
    "one_cycle",
    "polynomial",
    "step",
    "warmup",
]

if not TYPE_CHECKING:  # a type checker knows the names

    def __getattr__(name):
        from bpkit._other_names import unknown_name

        raise unknown_name(__name__, __all__, name)
