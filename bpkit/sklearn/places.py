"""Where data lie, and where a network is trained."""

from typing import Any

import numpy as np
import sklearn

from bpkit.registry import Selection, by_type, current, get_backend

__all__ = ["back", "check_same_place", "host", "library_of", "place_of"]


def library_of(x: Any) -> Any:
    """The backend of an array that scikit-learn leaves as it is; None for what it makes NumPy's of.

    With ``sklearn.set_config(array_api_dispatch=True)`` arrays of other libraries stay theirs.
    """
    if not sklearn.get_config()["array_api_dispatch"]:
        return None
    try:
        found = by_type[type(x)]
    except TypeError:  # a list, a table, a sparse matrix
        return None
    return None if found is None or found.name == "numpy" else found


def place_of(x: Any) -> str:
    """Backend and device of what was validated, as :func:`bpkit.use_backend` takes them."""
    library = library_of(x)
    return "numpy" if library is None else f"{library.name}:{library.device_of(x)}"


def check_same_place(estimator: Any, called: str, x: Any) -> None:
    """Refuse data of another library or device than those of `fit`.

    Raises
    ------
    ValueError
    """
    place = place_of(x)
    if estimator.backend is None and place != estimator._fitted_on:
        raise ValueError(
            f"Inputs passed to {type(estimator).__name__}.{called}() must use the same namespace and the "
            f"same device as those passed to fit(): {estimator._fitted_on}, not {place}. "
            f"With the parameter backend={place!r} it takes data from anywhere"
        )


def host(x: Any) -> np.ndarray[Any, Any]:
    """A NumPy array of an array of whatever library."""
    library = library_of(x)
    return np.asarray(x) if library is None else library.to_host(x)


def back(x: Any, place: str) -> Any:
    """A result of the current backend, in the library and on the device that the data came from."""
    name, _, device = place.partition(":")
    here = current()
    target = get_backend(name)
    chosen = target.device(device) if device else None
    if here.backend is target and (chosen is None or _same_device(here, target, x, device)):
        return x
    return target.from_host(here.backend.to_host(x), chosen)


def _same_device(here: Selection, target: Any, x: Any, device: str) -> bool:
    return bool(target.device_of(x) == device)
