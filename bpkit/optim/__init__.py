"""Optimisers: pairs of pure functions over trees of arrays."""

from bpkit.optim.optimizer import Optimizer
from bpkit.optim.sgd import SGDState, sgd

__all__ = ["Optimizer", "SGDState", "sgd"]
