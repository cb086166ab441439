"""Training: the loop, the settings it is run with, and the folder it leaves behind.

:func:`train` is the plain loop over any model, cost and optimizer. A :class:`Session` runs it with the
:class:`Settings` of a :func:`preset` and saves after every epoch into a :class:`Run` folder.
"""

from bpkit.training.build import build_cost, build_model, build_optimizer, order_key, start
from bpkit.training.fit import Fitted, fit
from bpkit.training.loop import evaluate, steps, train
from bpkit.training.placed import PlacedDataset, PlacedSplit, place
from bpkit.training.presets import PRESETS, preset
from bpkit.training.run import Run, Saved, locked
from bpkit.training.session import Session, load_dataset, restore, settings_of
from bpkit.training.settings import Settings
from bpkit.training.state import Epoch, State, Step

__all__ = [
    "PRESETS",
    "Epoch",
    "Fitted",
    "PlacedDataset",
    "PlacedSplit",
    "Run",
    "Saved",
    "Session",
    "Settings",
    "State",
    "Step",
    "build_cost",
    "build_model",
    "build_optimizer",
    "evaluate",
    "fit",
    "load_dataset",
    "locked",
    "order_key",
    "place",
    "preset",
    "restore",
    "settings_of",
    "start",
    "steps",
    "train",
]
