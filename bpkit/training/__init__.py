"""Training: the loop, the settings it is run with, and the folder it leaves behind.

:func:`fit` trains any model on any data. The loop that it is made of is :func:`steps`, a generator of events;
:func:`train` is the same for data sets of images. A :class:`Session` is what ``bpkit train`` runs: the
:class:`Settings` of a :func:`preset`, saved after every epoch into a :class:`Run` folder.
"""

from bpkit.training.build import build_cost, build_model, build_optimizer, order_key, start
from bpkit.training.files import locked
from bpkit.training.finder import RateSearch, find_learning_rate
from bpkit.training.fit import Fitted, fit
from bpkit.training.load import load_model
from bpkit.training.logs import json_lines, tensorboard
from bpkit.training.loop import evaluate, steps, train
from bpkit.training.placed import PlacedDataset, PlacedSplit, place
from bpkit.training.presets import PRESETS, preset
from bpkit.training.run import Run, Saved
from bpkit.training.session import Session, load_dataset, restore, settings_of
from bpkit.training.settings import Settings
from bpkit.training.state import Epoch, State, Step

__all__ = [
    "PRESETS",
    "Epoch",
    "Fitted",
    "PlacedDataset",
    "PlacedSplit",
    "RateSearch",
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
    "find_learning_rate",
    "fit",
    "json_lines",
    "load_dataset",
    "load_model",
    "locked",
    "order_key",
    "place",
    "preset",
    "restore",
    "settings_of",
    "start",
    "steps",
    "tensorboard",
    "train",
]
