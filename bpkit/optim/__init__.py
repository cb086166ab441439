"""Optimisers: pairs of pure functions over trees of arrays."""

from typing import TYPE_CHECKING

from bpkit.optim import schedules
from bpkit.optim.accumulation import AccumulatedState, accumulate
from bpkit.optim.adadelta import AdadeltaState, adadelta
from bpkit.optim.adagrad import AdagradState, adagrad
from bpkit.optim.adam import AdamState, adam, adamw
from bpkit.optim.adamax import AdamaxState, adamax
from bpkit.optim.averages import AveragedState, averaged, averaged_params
from bpkit.optim.clipping import ClippedState, clip_by_norm, clip_by_value, global_norm, gradient_norm
from bpkit.optim.groups import FrozenState, GroupsState, frozen, groups
from bpkit.optim.heavy_ball import HeavyBallState, heavy_ball
from bpkit.optim.lbfgs import LBFGSState, Minimizer, lbfgs
from bpkit.optim.lion import LionState, lion
from bpkit.optim.nadam import NAdamState, nadam
from bpkit.optim.optimizer import Optimizer, Schedule
from bpkit.optim.plateau import PlateauState, on_plateau
from bpkit.optim.radam import RAdamState, radam
from bpkit.optim.rmsprop import RMSpropState, rmsprop
from bpkit.optim.sgd import SGDState, sgd

__all__ = [
    "AccumulatedState",
    "AdadeltaState",
    "AdagradState",
    "AdamState",
    "AdamaxState",
    "AveragedState",
    "ClippedState",
    "FrozenState",
    "GroupsState",
    "HeavyBallState",
    "LBFGSState",
    "LionState",
    "Minimizer",
    "NAdamState",
    "Optimizer",
    "PlateauState",
    "RAdamState",
    "RMSpropState",
    "SGDState",
    "Schedule",
    "accumulate",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "averaged",
    "averaged_params",
    "clip_by_norm",
    "clip_by_value",
    "frozen",
    "global_norm",
    "gradient_norm",
    "groups",
    "heavy_ball",
    "lbfgs",
    "lion",
    "nadam",
    "on_plateau",
    "radam",
    "rmsprop",
    "schedules",
    "sgd",
]

if not TYPE_CHECKING:  # a type checker knows the names

    def __getattr__(name):
        from bpkit._other_names import unknown_name

        raise unknown_name(__name__, __all__, name)
