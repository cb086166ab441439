"""Optimisers: pairs of pure functions over trees of arrays."""

from bpkit.optim import schedules
from bpkit.optim.adadelta import AdadeltaState, adadelta
from bpkit.optim.adagrad import AdagradState, adagrad
from bpkit.optim.adam import AdamState, adam, adamw
from bpkit.optim.adamax import AdamaxState, adamax
from bpkit.optim.heavy_ball import HeavyBallState, heavy_ball
from bpkit.optim.lion import LionState, lion
from bpkit.optim.nadam import NAdamState, nadam
from bpkit.optim.optimizer import Optimizer, Schedule
from bpkit.optim.radam import RAdamState, radam
from bpkit.optim.rmsprop import RMSpropState, rmsprop
from bpkit.optim.sgd import SGDState, sgd

__all__ = [
    "AdadeltaState",
    "AdagradState",
    "AdamState",
    "AdamaxState",
    "HeavyBallState",
    "LionState",
    "NAdamState",
    "Optimizer",
    "RAdamState",
    "RMSpropState",
    "SGDState",
    "Schedule",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "heavy_ball",
    "lion",
    "nadam",
    "radam",
    "rmsprop",
    "schedules",
    "sgd",
]
