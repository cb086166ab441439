"""Earlier saves of a run: each is a run folder of its own, in ``saves`` inside the run's.

A save is set aside before the next one replaces it. Its folder is made under a temporary name and renamed, so
that it is whole or absent; the weights, which never change once they are written, are not copied but linked.
"""

import os
import re
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from bpkit.training import files

__all__ = ["FOLDER", "found", "name_of", "prune", "set_aside"]

FOLDER = "saves"


def name_of(epoch: int, step: int) -> str:
    """What a save is called: by finished epochs, and steps of the one after them."""
    return f"epoch-{epoch}-step-{step}" if step else f"epoch-{epoch}"


def found(folder: Path) -> list[Path]:
    """The saves that were set aside, the oldest first."""
    names = [
        (re.fullmatch(r"epoch-(\d+)(?:-step-(\d+))?", x.name), x) for x in (folder / FOLDER).glob("epoch-*")
    ]
    return [path for *_, path in sorted((int(m[1]), int(m[2] or 0), path) for m, path in names if m)]


def set_aside(folder: Path, name: str, copied: Sequence[str], linked: str) -> None:
    """Put the save that the folder holds aside.

    Parameters
    ----------
    folder : Path
        A run folder.
    name : str
    copied, linked : str
        Names of files; those that will be replaced, and the one that will be deleted.

    Raises
    ------
    OSError
        Nothing is left, and the save is where it was.
    """
    target, temporary = folder / FOLDER / name, folder / FOLDER / f".{name}{files.TEMPORARY_SUFFIX}"
    if target.exists():  # it is where the training went on from
        return
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        # Without parents: a run that somebody deleted is not begun again.
        temporary.parent.mkdir(exist_ok=True)
        temporary.mkdir()
        for file in copied:
            files.write(temporary / file, (folder / file).read_bytes())
        try:
            os.link(folder / linked, temporary / linked)
        except OSError:  # a file system without links
            files.write(temporary / linked, (folder / linked).read_bytes())
        files.sync_folder(temporary)
        os.replace(temporary, target)
        files.sync_folder(target.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def prune(folder: Path, keep: Collection[str]) -> None:
    """Delete the saves with other names, and what processes that were killed have left."""
    for path in found(folder):
        if path.name not in keep:
            hidden = path.with_name(f".{path.name}{files.TEMPORARY_SUFFIX}")
            shutil.rmtree(hidden, ignore_errors=True)
            # Renamed first, so that no half of it is ever taken for a save.
            os.replace(path, hidden)
    for path in (folder / FOLDER).glob(f".*{files.TEMPORARY_SUFFIX}"):
        shutil.rmtree(path, ignore_errors=True)
