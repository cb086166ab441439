"""Errors teach: each says what was called, with what shapes and dtypes, where, and what to write instead."""

import inspect
import pickle
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import xp
from bpkit._messages import is_users, user_frame
from bpkit._protocol import Backend
from bpkit.errors import (
    ArgumentError,
    BatchingError,
    GradientCutError,
    GradientCutWarning,
    LeakedArrayError,
    MixedBackendsError,
    NotDifferentiableError,
    ShapeError,
    TraceError,
    UnknownNameError,
)
from bpkit.registry import get_backend


def told(error: BaseException) -> str:
    """What a traceback prints of an error below the frames."""
    return "\n".join([str(error), *getattr(error, "__notes__", ())])


def marked_line(function: Any) -> str:
    """The line of a test that ends with the comment ``# here``, as errors show it."""
    lines, start = inspect.getsourcelines(function)
    (i,) = [i for i, line in enumerate(lines) if line.rstrip().endswith("# here")]
    return f"tests/test_errors.py:{start + i}: {lines[i].strip()}"


def check(called: Callable[[], Any], kind: type[Exception], *parts: str) -> Exception:
    """The error of a call, which must be at the line marked in the caller and have all parts in its text."""
    frame = sys._getframe(1)
    with pytest.raises(kind) as caught:
        called()
    text = told(caught.value)
    for part in (marked_line(frame.f_code), *parts):
        assert part in text, text
    assert text.count("test_errors.py:") == 1, text
    return caught.value


def vector(backend: Backend, *numbers: float) -> Any:
    return backend.from_host(np.asarray(numbers, dtype=np.float32))


# Arguments and results.


def test_an_output_that_is_no_scalar(backend: Backend) -> None:
    def doubled(x: Any) -> Any:
        return x * 2.0

    def called() -> None:
        bpkit.grad(doubled)(vector(backend, 1.0, 2.0))  # here

    check(
        called,
        ArgumentError,
        "doubled: the result must be a real floating scalar; it is an array of shape (2,) and dtype ",
        "float32. To fix it, reduce it to one number with xp.sum or xp.mean, or use vjp",
    )


def test_integers_are_asked_for_a_gradient(backend: Backend) -> None:
    def called() -> None:
        bpkit.grad(lambda p: xp.sum(p["w"]))({"w": backend.from_host(np.arange(3, dtype=np.int32))})  # here

    check(
        called,
        ArgumentError,
        "argument 0['w'] is asked for a gradient, which only floating arrays have",
        "it is an array of shape (3,) and dtype ",
        'int32. Convert it, xp.astype(x, "float64"), or pass it in an argument that is not differentiated',
    )


def test_a_function_that_returns_nothing(backend: Backend) -> None:
    def forgetful(x: Any) -> None:
        xp.sum(x)

    def called() -> None:
        bpkit.grad(forgetful)(vector(backend, 1.0))  # here

    check(
        called,
        ArgumentError,
        "forgetful: the result must be a real floating scalar; it is None",
        "end the function with return and an array computed from the arguments",
    )


def test_an_argument_that_is_not_used_has_a_zero_gradient(backend: Backend) -> None:
    used, unused = vector(backend, 2.0, 3.0), vector(backend, 5.0, 7.0, 11.0)
    first, second = bpkit.grad(lambda x, y: xp.sum(x * x), argnums=(0, 1))(used, unused)
    np.testing.assert_array_equal(backend.to_host(first), [4.0, 6.0])
    np.testing.assert_array_equal(backend.to_host(second), [0.0, 0.0, 0.0])
    assert second.dtype == unused.dtype
    _, pullback = bpkit.vjp(lambda x, y: x * 2.0, used, unused)
    np.testing.assert_array_equal(backend.to_host(pullback(used)[1]), [0.0, 0.0, 0.0])


# Traced values in places where they do not belong.


@pytest.mark.parametrize("leave", [bpkit.grad, lambda f: lambda x: bpkit.vjp(f, x)], ids=["grad", "vjp"])
def test_a_value_that_was_kept_and_used_later(
    backend: Backend, leave: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    kept: list[Any] = []

    def keeping(x: Any) -> Any:
        kept.append(x * 2.0)
        return xp.sum(x)

    leave(keeping)(vector(backend, 1.0, 2.0))

    def called() -> None:
        xp.exp(kept[0])  # here

    check(
        called,
        LeakedArrayError,
        "exp(float32[2]): an operand was traced by grad, value_and_grad or vjp, which has ended",
        "return it from the function instead (has_aux=True returns more than the loss)",
    )


def test_a_leaked_example_of_a_batch(backend: Backend) -> None:
    kept: list[Any] = []

    def keeping(x: Any) -> Any:
        kept.append(x)
        return x

    bpkit.vmap(keeping)(vector(backend, 1.0, 2.0))

    def called() -> None:
        kept[0] + 1.0  # here

    check(called, LeakedArrayError, "add(float32[], 1.0): an operand was traced by vmap, which has ended")


def test_numpy_asarray_of_a_traced_value(backend: Backend) -> None:
    def loss(x: Any) -> Any:
        return xp.sum(np.asarray(x) ** 2)  # here

    check(
        lambda: bpkit.grad(loss)(vector(backend, 1.0, 2.0)),
        GradientCutError,
        "numpy.asarray(x) of a value traced by grad, value_and_grad or vjp would lose its gradient",
        "it is float32[2]",
        "use the functions of bpkit.xp",
        "convert bpkit.stop_gradient(x)",
    )


def test_float_of_a_traced_value(backend: Backend) -> None:
    def loss(x: Any) -> Any:
        return xp.sum(x) * float(x[0])  # here

    with pytest.warns(GradientCutWarning) as caught:
        bpkit.grad(loss)(vector(backend, 1.0, 2.0))
    (warning,) = caught
    assert f"{warning.filename}:{warning.lineno}: ".endswith(marked_line(loss).partition(" ")[0] + " ")
    text = str(warning.message)
    assert "float() of a value that is being differentiated, float32[]: no gradient flows" in text
    assert "write float(bpkit.stop_gradient(x))" in text


def test_float_in_a_library_is_the_line_that_called_the_library() -> None:
    def loss(x: Any) -> Any:
        return xp.asarray(_library()["as_float"](x))  # here

    with (
        pytest.warns(GradientCutWarning) as caught,
        pytest.raises(GradientCutError, match="the result does not depend on the inputs") as error,
    ):
        bpkit.grad(loss)(2.0)
    assert [warning.filename for warning in caught] == [__file__]
    assert f"through float() at {marked_line(loss)}" in str(error.value)


def _library() -> dict[str, Callable[..., Any]]:
    """Functions of a library, as far as their files tell."""
    source = "def as_float(x): return float(x)\ndef total(xp, x, y): return xp.sum(x + y)\n"
    functions: dict[str, Callable[..., Any]] = {}
    exec(compile(source, "/usr/lib/python3/dist-packages/somebody/else.py", "exec"), functions)
    return functions


# Names.


def test_a_function_that_the_namespace_does_not_have(backend: Backend) -> None:
    def loss(x: Any) -> Any:
        return xp.sum(xp.sinn(x))  # here

    error = check(
        lambda: bpkit.grad(loss)(vector(backend, 1.0)),
        UnknownNameError,
        "bpkit.xp.sinn is not in bpkit's namespace: the array-API standard 2025.12 and a few extras",
        "did you mean bpkit.xp.sin or bpkit.xp.",
    )
    assert isinstance(error, AttributeError)


@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "array_api_strict"])
def test_the_namespace_of_a_traced_array_does_not_have_it(library: str) -> None:
    pytest.importorskip(library)

    def loss(x: Any) -> Any:
        return x.__array_namespace__().concatenate([x, x])  # here

    check(
        lambda: bpkit.grad(loss)(vector(get_backend(library), 1.0)),
        UnknownNameError,
        f"bpkit.xp.{library}.concatenate is not in bpkit's namespace",
        "write bpkit.xp.concat",
    )


def test_a_name_in_an_extension() -> None:
    def called() -> None:
        xp.linalg.inverse  # noqa: B018  # here

    check(called, UnknownNameError, "bpkit.xp.linalg.inverse does not exist; write bpkit.xp.linalg.inv")
    assert not hasattr(xp, "sinn") and getattr(xp.fft, "no", None) is None


# Shapes: the library's own error, of its class and with its text, and a note.


def raised_by(function: Callable[[], Any]) -> Exception:
    """The error of the library itself."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  a class of its own in each library
        function()
    return caught.value


def check_note(backend: Backend, loss: Callable[..., Any], raw_loss: Callable[..., Any], *parts: str) -> None:
    """The note on the error that a library raises below `loss`, whose line is marked."""
    x = vector(backend, 1.0, 2.0, 3.0)
    with backend.quiet():
        own = raised_by(lambda: raw_loss(backend.xp, x))
    transforms: dict[str, Callable[[], Any]] = {
        "grad": lambda: bpkit.grad(loss)(x),
        "grad of grad": lambda: bpkit.grad(lambda y: xp.sum(bpkit.grad(loss)(y)))(x),
        "jvp": lambda: bpkit.jvp(loss, (x,), (x,)),
        "vmap": lambda: bpkit.vmap(loss)(xp.stack([x, x])),
    }
    for name, transform in transforms.items():
        error = raised_by(transform)
        # What a library says of a whole batch is about shapes that the user has not written.
        assert name == "vmap" or (type(error) is type(own) and str(error) == str(own))
        # JAX adds a note of its own.
        (note,) = [note for note in error.__notes__ if note.startswith("in ")]
        assert f"\n  at {marked_line(loss)}" in note, note
        for part in parts:
            assert part in note, note


def test_shapes_that_do_not_broadcast(backend: Backend) -> None:
    four = vector(backend, 1.0, 2.0, 3.0, 4.0)

    def loss(x: Any) -> Any:
        return xp.sum(x + four)  # here

    check_note(
        backend,
        loss,
        lambda xp, x: x + four,
        "in add(float32[3], float32[4])\n",
        "Axis -1 has the lengths 3 and 4. Axes are matched from the last on",
        "their lengths must be equal, or 1",
        "x[:, None] adds an axis of length 1",
    )


def test_matrices_that_do_not_fit(backend: Backend) -> None:
    four = vector(backend, 1.0, 2.0, 3.0, 4.0)

    def loss(x: Any) -> Any:
        return x @ four  # here

    check_note(
        backend,
        loss,
        lambda xp, x: x @ four,
        "in matmul(float32[3], float32[4])\n",
        "x1 @ x2 sums over the last axis of x1, of length 3, and the last but one of x2",
        "of length 4: they must be equal",
    )


def test_arrays_that_cannot_be_joined(backend: Backend) -> None:
    def loss(x: Any) -> Any:
        return xp.sum(xp.concat([x, x[None, :]]))  # here

    check_note(
        backend,
        loss,
        lambda xp, x: xp.concat([x, x[None, :]]),
        "in concat(float32[3], float32[1, 3], axis=0)\n",
        "All arrays need the same number of axes; x[None, ...] adds one",
    )


def test_a_shape_with_another_number_of_elements(backend: Backend) -> None:
    def loss(x: Any) -> Any:
        return xp.sum(xp.reshape(x, (5, 5)))  # here

    check_note(
        backend,
        loss,
        lambda xp, x: xp.reshape(x, (5, 5)),
        "in reshape(float32[3], shape=(5, 5))\n",
        "float32[3] has 3 elements; -1 is the length that fits",
    )


def test_an_axis_that_is_not_there(backend: Backend) -> None:
    def loss(x: Any) -> Any:
        return xp.sum(xp.sum(x, axis=2))  # here

    check_note(
        backend,
        loss,
        lambda xp, x: xp.sum(x, axis=2),
        "in sum(float32[3], axis=2, keepdims=False)\n",
        "The array has 1 axes: axis can be from -1 to 0",
    )


def test_a_function_made_of_others_is_named_too() -> None:
    def loss(x: Any) -> Any:
        return xp.sum(xp.stack([x, np.ones(4)]))  # here

    check(lambda: bpkit.grad(loss)(np.ones(3)), ValueError, "in concat(float64[1, 3], float64[1, 4], axis=0)")
    assert ", called by stack\n" in told(raised_by(lambda: bpkit.grad(loss)(np.ones(3))))


def test_shapes_that_bpkit_refuses_itself() -> None:
    def loss(x: Any) -> Any:
        return xp.sum(xp.tensordot(x, np.ones((4, 5)), axes=1))  # here

    check(
        lambda: bpkit.grad(loss)(np.ones(3)),
        ShapeError,
        "x1 of shape (3,) and x2 of shape (4, 5)",
        "name one",
    )


def test_an_error_in_a_library_is_the_line_that_called_the_library() -> None:
    def loss(x: Any) -> Any:
        return _library()["total"](xp, x, np.ones(4))  # here

    check(lambda: bpkit.grad(loss)(np.ones(3)), ValueError, "in add(float64[3], float64[4])\n")


def test_scipy_is_a_library() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")

    def loss(x: Any) -> Any:
        return xp.sum(scipy_stats.zscore(x, axis=3))  # here

    check(lambda: bpkit.grad(loss)(np.ones(3)), Exception, "axis=3")


def test_a_transform_of_a_function_of_bpkit() -> None:
    def called() -> None:
        bpkit.grad(xp.matmul)(np.ones(3), np.ones(4))  # here

    check(called, ValueError, "in matmul(float64[3], float64[4])\n")


def test_errors_that_have_nothing_to_do_with_bpkit_are_left_alone() -> None:
    def loss(x: Any) -> Any:
        return np.ones(3) + np.ones(4)

    def wrong(x: Any) -> Any:
        raise KeyError(3)

    for gradient in (bpkit.grad(loss), bpkit.grad(wrong)):
        assert not hasattr(raised_by(partial(gradient, np.ones(3))), "__notes__")


# Libraries.


def test_two_libraries_in_one_call(backend: Backend) -> None:
    other = "array_api_strict" if backend.name == "numpy" else "numpy"
    y = vector(get_backend(other), 1.0, 2.0)

    def loss(x: Any) -> Any:
        return xp.sum(xp.multiply(x, y))  # here

    check(
        lambda: bpkit.grad(loss)(vector(backend, 1.0, 2.0)),
        MixedBackendsError,
        f"of {backend.name}",
        f"of {other}",
        "(float32[2] and float32[2]); all must come from one. Move the numpy array to ",
    )


def test_a_function_without_a_derivative_on_the_path() -> None:
    def loss(x: Any) -> Any:
        return xp.sum(np.polyfit(x, x, 1))  # here

    check(
        lambda: bpkit.grad(loss)(np.ones(3)),
        NotDifferentiableError,
        "numpy.polyfit",
        "numpy.linalg.pinv(numpy.vander(x, deg + 1)) @ y",
    )


def test_a_function_without_a_rule_on_the_path(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    from bpkit.rules.registry import RULES

    def loss(x: Any) -> Any:
        return xp.sum(xp.hypot(x, x))  # here

    x = vector(backend, 1.0, 2.0)
    monkeypatch.delitem(RULES, "hypot")
    check(
        lambda: bpkit.grad(loss)(x),
        NotDifferentiableError,
        "hypot(float32[2], float32[2]): hypot has no derivative rule",
        "If no gradient should flow here, pass bpkit.stop_gradient(x)",
    )


def test_what_no_batch_can_do(backend: Backend) -> None:
    def each(x: Any) -> Any:
        return x * float(x[0])  # here

    batch = backend.from_host(np.ones((2, 3), dtype=np.float32))
    check(lambda: bpkit.vmap(each)(batch), BatchingError, "float() of a value that differs", "xp.where")


# The line itself.


def test_an_error_knows_its_line_and_keeps_it_when_it_is_pickled() -> None:
    def called() -> None:
        bpkit.grad(lambda x: x)(np.ones(3))  # here

    error = check(called, ArgumentError)
    assert isinstance(error, ArgumentError)
    assert error.line == marked_line(test_an_error_knows_its_line_and_keeps_it_when_it_is_pickled)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) and again.line == error.line


def test_what_was_typed_in_is_the_users_and_python_itself_is_not() -> None:
    found: list[Any] = []
    typed = compile("called()", "<stdin>", "exec")
    exec(typed, {"called": lambda: found.append(user_frame(sys._getframe(1)))})
    assert found[0].f_code is typed
    # The only frames of a thread that runs a library's function are the library's.
    thread = threading.Thread(target=found.append, args=(None,))
    thread.run = lambda: found.append(user_frame(sys._getframe(1)))  # type: ignore[method-assign]
    thread.start()
    thread.join()
    assert found[1] is None


def test_without_any_line_of_the_user_nothing_is_said() -> None:
    errors: list[Exception] = []
    functions: dict[str, Any] = {"grad": bpkit.grad, "x": np.ones(3), "errors": errors}
    source = (
        "def run():\n    try: grad(lambda x: x)(x)\n    except Exception as error: errors.append(error)\n"
    )
    exec(compile(source, "/usr/lib/python3/dist-packages/somebody/else.py", "exec"), functions)
    thread = threading.Thread(target=functions["run"])
    thread.start()
    thread.join()
    assert str(errors[0]).endswith("or use vjp")


@pytest.mark.parametrize("backend", ["torch"], indirect=True)
def test_functions_of_torch_say_what_to_write(backend: Backend) -> None:
    torch = sys.modules["torch"]
    x = torch.ones(3)
    refusal = r"torch's \w+ of a traced value: PyTorch's functions take tensors only\. Write"
    for wrong in (torch.sum, torch.nn.functional.relu, torch.special.expit, torch.linalg.vector_norm):
        with pytest.raises(TraceError, match=refusal):
            bpkit.grad(lambda w, wrong=wrong: xp.sum(wrong(w)))(x)
    with pytest.raises(TraceError, match=r"a tensor indexed by a traced value.* write xp\.take\(tensor"):
        bpkit.grad(lambda w: xp.sum(x[w > 0] * w))(x)


def test_frames_of_a_backend_are_not_the_users() -> None:
    assert not is_users(sys.modules["bpkit.backends"].__path__[0] + "/numpy_backend.py")
    assert is_users(__file__)
