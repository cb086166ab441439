"""A run folder as one page of HTML that loads nothing."""

import math
import os
from collections.abc import Iterator, Sequence
from importlib.resources import files as resources
from importlib.util import find_spec
from pathlib import Path

from bpkit import __version__
from bpkit.errors import BpkitError, DrawingError, RunError, SaveError
from bpkit.inspect import INSIGHT, Look, diagnose, read_looks
from bpkit.inspect.recorder import was_shuffled
from bpkit.report.images import Images, examine
from bpkit.report.layers import alike
from bpkit.report.sections import histograms, layer_table, layers_over_time, progress, share, short
from bpkit.training import PlacedDataset, Run, Settings, files, load_dataset, place, restore
from bpkit.training.state import Epoch

__all__ = ["REPORT", "write_report"]

REPORT = "report.html"
"""The name of the file in a run folder."""

_NO_LOOKS = (
    "has no insight.jsonl, which the report is made of. bpkit train writes it (without --no-insight), and so "
    "does fit(..., folder=FOLDER, callbacks=[inspect.Recorder(loss, x, y, path=FOLDER/'insight.jsonl')])"
)


def write_report(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    data: str | os.PathLike[str] | None = None,
) -> Path:
    """Write what is known about a training as a page for the browser.

    It is one file without scripts that loads nothing: it can be kept, sent and read without a network.

    Parameters
    ----------
    folder : path
        Of ``bpkit train``, or of ``fit(..., folder=...)`` with a :class:`bpkit.inspect.Recorder` whose `path`
        is ``insight.jsonl`` in it. Only read: the training may go on meanwhile.
    out : path, optional
        Where to write; what is there is replaced. Default: ``report.html`` in `folder`.
    data : path, optional
        The folder with the data set, for runs of ``bpkit train``. Default: where it was.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    RunError, CorruptRunError
        If there is no run in `folder`, nothing was recorded, or something is damaged.
    SaveError
        If the page cannot be written; what was there before is intact.
    DrawingError
        If Matplotlib or Jinja2, which draw it, are not installed.

    Notes
    -----
    A run of ``bpkit train`` is restored on the current backend, to read the test images again. If that fails,
    and for those of ``fit``, whose model is in a program, the page says what is left out and why.
    """
    _check_installed()
    run = Run.open(folder)
    path = run.path / REPORT if out is None else Path(out)
    if not path.parent.is_dir():
        raise SaveError(f"{path} cannot be written: there is no folder {path.parent}; choose another file")
    looks = _looks(run)
    placed, images, why_not = _data(run, data)
    page = _render(run, looks, placed, images, why_not)
    try:
        files.write(path, page.encode())
    except OSError as error:
        raise SaveError(
            f"{path} cannot be written: {error.strerror or error}; choose another file"
        ) from error
    return path


def _check_installed() -> None:
    missing = [name for name in ("jinja2", "matplotlib") if find_spec(name) is None]
    if missing:
        raise DrawingError(
            f'the report needs {" and ".join(missing)}: in the folder of bpkit, pip install -e ".[report]"'
        )


def _looks(run: Run) -> Sequence[Look]:
    path = run.path / INSIGHT
    if not path.is_file():
        raise RunError(f"{run.path} {_NO_LOOKS}")
    looks = alike(read_looks(path))
    if not looks:
        raise RunError(f"{path} holds no look yet: the first is taken before the first step")
    return looks


def _data(run: Run, data: str | os.PathLike[str] | None) -> tuple[PlacedDataset | None, Images | None, str]:
    """The data set of a run, what its network reads in it, and if one is missing why."""
    settings, placed = run.settings, None
    if not isinstance(settings, Settings):
        return None, None, "of a training of fit, whose model and data are in a program"
    try:
        placed = place(load_dataset(settings, run.data if data is None else data), settings.dtype)
        return placed, examine(restore(run).model, settings, placed.test), ""
    except BpkitError as error:
        return placed, None, str(error)


def _steps(run: Run, placed: PlacedDataset | None) -> int | None:
    """Steps of an epoch, if they are known."""
    settings = run.settings
    if isinstance(settings, Settings):
        return None if placed is None else math.ceil(len(placed.train) / settings.batch_size)
    steps = settings.get("steps")
    return steps if isinstance(steps, int) else None


def _render(
    run: Run, looks: Sequence[Look], placed: PlacedDataset | None, images: Images | None, why_not: str
) -> str:
    from jinja2 import Environment, StrictUndefined

    history = [Epoch.from_json(line) for line in run.saved.metrics]
    here = resources("bpkit.report")
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        (here / "page.html").read_text("utf-8")
    )
    over_time = layers_over_time(looks, _steps(run, placed))
    sections = [progress(history, looks), over_time, histograms(looks)]
    page: str = template.render(
        version=__version__,
        style=(here / "page.css").read_text("utf-8"),
        title=f"Report of {run.path.resolve().name}",
        lead=_lead(run, looks),
        tiles=list(_tiles(run, history, looks)),
        settings=list(_settings(run, looks)),
        diagnosis=diagnose(looks, history, shuffled=was_shuffled(run)),
        short=short,
        sections=[section for section in sections if section.plots],
        images=images,
        layers=layer_table(looks[-1]),
        layers_text="As they were in the last look, in the order in which they are called.",
        left_out=[f"Images, mistakes and the confusion matrix: {why_not}."] if images is None else [],
    )
    return page


def _lead(run: Run, looks: Sequence[Look]) -> str:
    saved, settings = run.saved, run.settings
    where = f"on {saved.backend} ({saved.device})"
    if isinstance(settings, Settings):
        sizes = "-".join(map(str, settings.sizes))
        hidden = f" of {settings.activation} neurons" if settings.hidden else ""
        return (
            f"A network {sizes}{hidden}, trained on {settings.dataset} by {settings.optimizer} with a "
            f"learning rate of {settings.learning_rate:g} and {settings.cost} cost, {where}."
        )
    layers = sum(bool(layer.parameters) for layer in looks[-1].layers)
    return f"A model of {layers} layers with parameters, trained by bpkit.training.fit {where}."


def _tiles(run: Run, history: Sequence[Epoch], looks: Sequence[Look]) -> Iterator[tuple[str, str, str]]:
    """What is read first: name, value, and a note in small letters."""
    if history:
        names = [*history[-1].metrics, "loss"]
        accuracies = [name for name in names if name.endswith("accuracy")]
        for name in sorted(accuracies, key=lambda name: not name.startswith("test")):
            epochs = [epoch for epoch in history if name in epoch.metrics]
            best = max(epochs, key=lambda epoch: epoch.metrics[name])
            note = f"best {share(best.metrics[name])} after epoch {best.epoch}"
            yield name.replace("_", " "), share(history[-1].metrics[name]), note
        yield "loss", short(history[-1].loss), f"first epoch {short(history[0].loss)}"
        for name in names:
            if name not in accuracies and name != "loss":
                yield name.replace("_", " "), short(history[-1].metrics[name]), ""
    saved = run.saved
    note = f"and {saved.step:,} steps" if saved.step else ""
    yield "epochs", f"{saved.epoch} of {saved.epochs}", note
    seconds = saved.seconds + sum(epoch.seconds for epoch in history)
    yield "training", _time(seconds), f"measuring {_time(sum(e.evaluation_seconds for e in history))}"
    yield "parameters", f"{sum(layer.parameters + layer.frozen for layer in looks[-1].layers):,}", ""


def _settings(run: Run, looks: Sequence[Look]) -> Iterator[tuple[str, str]]:
    settings = run.settings
    for name, value in (settings.to_json() if isinstance(settings, Settings) else settings).items():
        if name != "key":
            yield name.replace("_", " "), _written(value)
    yield "backend", f"{run.saved.backend} ({run.saved.device})"
    yield "looked through", f"{looks[-1].examples:,} examples"
    yield "looks", f"{len(looks):,}"


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"
