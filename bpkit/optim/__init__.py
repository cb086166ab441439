"""Optimisers: pairs of pure functions over trees of arrays."""

from bpkit.optim import schedules
from bpkit.optim.adam import AdamState, adam, adamw
from bpkit.optim.optimizer import Optimizer, Schedule
from bpkit.optim.sgd import SGDState, sgd

__all__ = ["AdamState", "Optimizer", "SGDState", "Schedule", "adam", "adamw", "schedules", "sgd"]
