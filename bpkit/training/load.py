"""The model of a run folder, to use it."""

import os
from typing import TypeVar

from bpkit import registry, tree
from bpkit.errors import ArgumentError, CorruptRunError, RunError
from bpkit.training import aside
from bpkit.training.run import Run
from bpkit.training.snapshots import unpack

__all__ = ["load_model"]

Model = TypeVar("Model")

_OTHER_MODEL = "give a model of the structure that was trained"


def load_model(folder: str | os.PathLike[str], model: Model, *, best: bool = False) -> Model:
    """Read the model that a training was saved with.

    Parameters
    ----------
    folder : path
        Of ``fit(..., folder=...)`` or ``bpkit train``, or one of the earlier saves in its ``saves``. Only
        read: a training may go on in it.
    model : Module
        One of the same structure, with whatever numbers in its arrays. The result is on its backend and
        device, wherever the training ran.
    best : bool
        Whether to read the best epoch, by what :func:`bpkit.training.fit` monitored, and not the last save.

    Returns
    -------
    Module
        `model` with the arrays that were saved, buffers among them. What is no array, such as the functions
        between the layers and the rate of a dropout, is that of `model`, and is not compared.

    Raises
    ------
    ArgumentError
        If arrays of `model` and of the save differ in name, shape or dtype; the message has the first of
        them, what was expected and what came.
    RunError
        If there is no run folder, or `best` and it is not known or not kept which epoch was the best.
    CorruptRunError
        If the save is incomplete or damaged.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from bpkit import losses, nn, optim, random, xp
    >>> from bpkit.training import fit
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "run"
    >>> x, y = xp.asarray([[0.0], [1.0], [2.0]]), xp.asarray([[1.0], [3.0], [5.0]])
    >>> model = nn.Dense(1, 1, key=random.key(0))
    >>> fitted = fit(model, (x, y), losses.mean_squared_error, optim.sgd(0.1), epochs=3, folder=folder)
    >>> loaded = load_model(folder, nn.Dense(1, 1, key=random.key(1)))
    >>> bool(xp.all(loaded.weight == fitted.model.weight))
    True
    """
    arrays = [leaf for leaf in tree.leaves(model) if hasattr(leaf, "shape")]
    if not arrays:
        raise ArgumentError("load_model: the model has no arrays; give one as it was given to the training")
    run = Run.open(folder)
    if best:
        run = _best(run)
    backend = registry.backend_of(arrays[0])
    with registry.use_backend(f"{backend.name}:{backend.device_of(arrays[0])}"):
        try:
            loaded: Model = unpack("model", model, run.saved, str(run.path), _OTHER_MODEL)
        except CorruptRunError as error:
            raise ArgumentError(f"load_model: {error}") from None
    known = {"model" + path for path in tree.paths(model)}
    # The names of a model's arrays begin as those of its fields do.
    extra = [name for name in run.saved.arrays if name.startswith(("model.", "model[")) and name not in known]
    if extra:
        raise ArgumentError(
            f"load_model: {run.path}: the saved {min(extra)} belongs to no part of the model; {_OTHER_MODEL}"
        )
    return loaded


def _best(run: Run) -> Run:
    number = run.saved.best
    if number is None:
        raise RunError(
            f"{run.path} does not say which epoch was the best (only a training of fit does, after its first "
            f"epoch); leave best=True out for the last save"
        )
    if (number, 0) == (run.saved.epoch, run.saved.step):
        return run
    path = run.path / aside.FOLDER / aside.name_of(number, 0)
    if not path.exists():
        raise RunError(
            f"{run.path}: the best epoch was {number}, whose save is not there ({path}); leave best=True out "
            f"for the last save"
        )
    return Run.open(path)
