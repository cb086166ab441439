"""Every exception and warning that bpkit raises on purpose.

::

    BpkitError
    ├── BackendError
    │   ├── UnknownBackendError        (ValueError)   a name that no backend has
    │   ├── BackendNotInstalledError   (ImportError)  its library is missing
    │   ├── DeviceNotFoundError        (ValueError)   the library is here, the device is not
    │   ├── MixedBackendsError         (TypeError)    arrays of two libraries in one call
    │   └── NoSuchFunctionError        (NotImplementedError) the library has no such function
    ├── UnknownNameError               (AttributeError) the namespace has nothing of this name
    ├── TraceError
    │   ├── LeakedArrayError           (RuntimeError) a traced value used after its transform ended
    │   ├── GradientCutError           (TypeError)    a conversion that would lose the gradient
    │   └── NotDifferentiableError     (TypeError)    no derivative exists, or none is known
    ├── BatchingError                  (ValueError)   it cannot be done for a whole batch at once
    ├── RecordingError                 (TypeError)    what is compiled depends on values
    ├── ArgumentError                  (TypeError)    an argument of a transform has the wrong kind
    ├── GradientCheckError             (AssertionError) a derivative disagrees with finite differences
    ├── ShapeError                     (ValueError)   shapes that do not fit
    ├── NonFiniteError                 (FloatingPointError) what bpkit.debug_nans found, or a norm
    ├── DataError                      (ValueError)
    │   ├── CorruptDataError                          a data file is truncated, swapped or damaged
    │   └── MissingDataError           (FileNotFoundError) it is not here and cannot be fetched
    ├── SettingsError                  (ValueError)   a training setting has a value that cannot be used
    ├── DivergedError                  (ArithmeticError) the loss or a weight is no longer finite
    ├── InterruptedStepError           (RuntimeError) weights of a training step that was stopped half-way
    ├── ExportError                    (ValueError)   what ONNX cannot express, or computes otherwise
    ├── DrawingError                   (ImportError)  Graphviz, which draws graphs, is missing
    └── RunError
        ├── CorruptRunError            (ValueError)   a run folder is incomplete or damaged
        └── SaveError                  (OSError)      writing failed; what was there before is as it was

    TrainingInterrupted                (KeyboardInterrupt) a training was stopped by Ctrl-C; no BpkitError

    GradientCutWarning                 (UserWarning)  a traced value was turned into a Python float
    CompileWarning                     (UserWarning)  a function could not be compiled, and runs as it is
    RecordingWarning                   (UserWarning)  a number that changes makes jit record again and again

Each also derives from the builtin in parentheses, so callers can catch what they already know.

Where the mistake is in the user's code, the text ends with the line of it that was running: the innermost one
that is neither bpkit's nor a library's. `line` holds it by itself: ``"model.py:12: y = x + w"``.
"""

from typing import Any

from bpkit._messages import user_line

__all__ = [
    "ArgumentError",
    "BackendError",
    "BackendNotInstalledError",
    "BatchingError",
    "BpkitError",
    "CompileWarning",
    "CorruptDataError",
    "CorruptRunError",
    "DataError",
    "DeviceNotFoundError",
    "DivergedError",
    "DrawingError",
    "ExportError",
    "GradientCheckError",
    "GradientCutError",
    "GradientCutWarning",
    "InterruptedStepError",
    "LeakedArrayError",
    "MissingDataError",
    "MixedBackendsError",
    "NoSuchFunctionError",
    "NonFiniteError",
    "NotDifferentiableError",
    "RecordingError",
    "RecordingWarning",
    "RunError",
    "SaveError",
    "SettingsError",
    "ShapeError",
    "TraceError",
    "TrainingInterrupted",
    "UnknownBackendError",
    "UnknownNameError",
]


class BpkitError(Exception):
    """Base of every exception that bpkit raises on purpose."""


class _LineError(BpkitError):
    """An error whose text ends with the line of the user's code that led to it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.line = user_line()

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}\n  at {self.line}" if self.line else text


class BackendError(BpkitError):
    """An array library cannot be used as asked."""


class UnknownBackendError(BackendError, ValueError):
    """No backend has this name."""


class BackendNotInstalledError(BackendError, ImportError):
    """The backend is known, but its library is not installed."""


class DeviceNotFoundError(BackendError, ValueError):
    """The library is installed, but it has no such device."""


class MixedBackendsError(BackendError, _LineError, TypeError):
    """Arrays of two different libraries met in one call."""


class NoSuchFunctionError(BackendError, _LineError, NotImplementedError):
    """The library has no such function, and none can stand in for it."""


class UnknownNameError(_LineError, AttributeError):
    """The namespace has nothing of this name."""


class TraceError(_LineError):
    """A traced value was used in a way that would make its derivative wrong."""


class LeakedArrayError(TraceError, RuntimeError):
    """A traced value was used after the transform that made it had ended."""


class GradientCutError(TraceError, TypeError):
    """A conversion of a traced value would silently lose its gradient."""


class NotDifferentiableError(TraceError, TypeError):
    """A function on the path has no derivative rule."""


class BatchingError(_LineError, ValueError):
    """Something cannot be done for all examples of a batch at once."""


class RecordingError(BpkitError, TypeError):
    """What a function does depends on the values of its arguments, so that it cannot be recorded."""


class ArgumentError(_LineError, TypeError):
    """An argument of a transform has the wrong kind, dtype or structure."""


class GradientCheckError(BpkitError, AssertionError):
    """A derivative disagrees with finite differences, or is not finite."""


class ShapeError(_LineError, ValueError):
    """Shapes do not fit together."""


class NonFiniteError(_LineError, FloatingPointError):
    """A value is NaN or infinite, and :func:`bpkit.debug_nans` is on.

    Also the norm of gradients, where :func:`bpkit.optim.clip_by_norm` was asked to look; it leaves the
    attributes empty.

    Attributes
    ----------
    function : str
        What made it; for an argument of a transform, the transform.
    phase : {"forward", "backward", "tangent", "input"}
        Whether it is a result, a cotangent, a tangent, or came in with the data.
    value : str
        ``"nan"``, ``"inf"``, ``"-inf"`` or a complex number of these.
    index : tuple of int
        Where it stands, in one example if there is a batch of them.
    layer : str
        The module whose method was running, as the user reaches it; empty if there was none.
    line : str
        Where `function` was called in the forward pass, also if the value is a cotangent.
    """

    function = ""
    phase = ""
    value = ""
    index: tuple[int, ...] = ()
    layer = ""


class DataError(BpkitError, ValueError):
    """Training data cannot be used."""


class CorruptDataError(DataError):
    """A data file is truncated, swapped with another or damaged."""


class MissingDataError(DataError, FileNotFoundError):
    """A data file is not on this machine and could not be fetched."""


class SettingsError(BpkitError, ValueError):
    """A setting has a value that cannot be used.

    Attributes
    ----------
    field : str
        Which setting of :class:`bpkit.training.Settings`.
    got : object
        Its value.
    expected : str
        What it should have been.
    """

    def __init__(self, field: str, got: object, expected: str) -> None:
        super().__init__(f"Settings: {field} is {got!r}; expected {expected}")
        self.field = field
        self.got = got
        self.expected = expected


class DivergedError(BpkitError, ArithmeticError):
    """The loss or a weight is no longer a finite number."""


class InterruptedStepError(BpkitError, RuntimeError):
    """A compiled training step was stopped while it wrote over the weights, so that none are whole."""


class RunError(BpkitError):
    """A run folder cannot be used."""


class CorruptRunError(RunError, ValueError):
    """A run folder is incomplete or damaged."""


class SaveError(RunError, OSError):
    """Writing a run failed; what was saved before is as it was, or gone if something else deleted it."""


class ExportError(BpkitError, ValueError):
    """A function cannot be written for another runtime, or that computes something else with it."""


class DrawingError(BpkitError, ImportError):
    """Graphviz, which draws graphs, is missing."""


class CompileWarning(UserWarning):
    """A function could not be compiled, and runs as it is."""


class RecordingWarning(UserWarning):
    """A function is recorded again and again, since a number in its arguments changes."""


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C has ended a training of :func:`bpkit.training.fit`.

    Attributes
    ----------
    fitted : bpkit.training.Fitted
        What there was after the last step.
    """

    def __init__(self, message: str, fitted: Any) -> None:
        super().__init__(message)
        self.fitted = fitted


class GradientCutWarning(UserWarning):
    """A traced value was turned into a Python number, which has no gradient."""
