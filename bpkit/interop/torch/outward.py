"""Functions of bpkit as functions of tensors, which torch.autograd differentiates."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from contextvars import Context, copy_context
from functools import wraps
from typing import Any, NamedTuple

import torch

from bpkit._protocol import Backend
from bpkit.errors import ArgumentError, GradientCutError
from bpkit.interop.calls import Call
from bpkit.interop.crossing import carried
from bpkit.interop.steps import Step
from bpkit.interop.torch.draws import States, generators, replayed
from bpkit.kinds import is_inexact
from bpkit.registry import get_backend, use_backend
from bpkit.trace import Traced
from bpkit.transforms.arguments import describe, title
from bpkit.transforms.functions import Leaves

__all__ = ["call", "to_torch"]


def to_torch(fun: Callable[..., Any], *, backend: str | None = None) -> Callable[..., Any]:
    """A function of bpkit as a function of tensors, which torch.autograd differentiates as bpkit does.

    Parameters
    ----------
    fun : callable
        Takes trees of arrays (and anything else, which has no derivative) and returns a tree of arrays.
    backend : str or None
        The library in which it runs. None for PyTorch itself. With ``"numpy"``, ``"jax"``, ``"cupy"`` or any
        other it gets that library's arrays, in the memory of the tensors where DLPack can do that.

    Returns
    -------
    callable
        Takes what `fun` takes, with tensors for arrays; returns its tree with tensors, on the device where
        they were computed. Arrays that `fun` makes are of the same library and device.

    Raises
    ------
    ArgumentError
        If an argument has no tensor, an array of another library is among them, tensors lie on several
        devices, the library does not have a dtype (NumPy has no bfloat16) or cannot reach the device, or the
        result is no tree of arrays.
    GradientCutError
        If the result depends on a tensor that requires gradients and is no argument.

    Notes
    -----
    Double backward, ``torch.func`` (``grad``, ``vjp``, ``jvp``, ``vmap`` and their compositions) and forward
    mode work; each of them is done by bpkit's transform of the same name. ``torch.compile`` breaks its graph
    here: the function runs as it is. As everywhere in PyTorch, an argument that was written to before its
    gradient is refused. The first pass back uses what the way forward kept, and lets it go; another one
    (``retain_graph=True``, ``create_graph=True``) runs `fun` again.

    References
    ----------
    A. Paszke et al., "PyTorch: an imperative style, high-performance deep learning library", NeurIPS 2019,
    section 4.3 on extending automatic differentiation.

    Examples
    --------
    >>> import torch
    >>> from bpkit import xp
    >>> energy = to_torch(lambda x: xp.sum(xp.sin(x) ** 2))
    >>> x = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    >>> energy(x).backward()
    >>> x.grad
    tensor([0.0000, 0.9093], dtype=torch.float64)

    In NumPy, on the same memory:

    >>> to_torch(lambda x: xp.cumulative_sum(x), backend="numpy")(x)
    tensor([0., 1.], dtype=torch.float64, grad_fn=<_ApplyBackward>)
    """
    called = title("to_torch", fun, advice="")
    library = None if backend is None else get_backend(backend)

    @wraps(fun, updated=())
    def of_tensors(*args: Any, **kwargs: Any) -> Any:
        return call(called, fun, library, args, kwargs)

    return of_tensors


def call(
    called: str,
    fun: Callable[..., Any],
    library: Backend | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """A function of bpkit of tensors; `library` is the one in which it runs, None for PyTorch."""
    if torch.compiler.is_dynamo_compiling():
        return torch.compiler.disable(call, reason=called)(called, fun, library, args, kwargs)
    inner = Call(called, fun, args, kwargs, "a tensor")
    tensors = inner.arrays
    if any(isinstance(x, Traced) for x in tensors):  # in a transform of bpkit, which differentiates it itself
        return fun(*args, **kwargs)
    for i, x in enumerate(tensors):
        if not isinstance(x, torch.Tensor):
            raise ArgumentError(
                f"{called}: {inner.name(i)} must be a tensor, as all arrays here; it is {describe(x)} of "
                f"{type(x).__module__}. Convert it: torch.asarray(x)"
            )
    device = tensors[0].device
    for x in tensors:
        if x.device != device:
            raise ArgumentError(f"{called}: its tensors lie on {device} and {x.device}; move them to one")
    if torch.is_autocast_enabled(
        device.type
    ):  # which does not know bpkit's derivatives: as in torch.amp.custom_fwd, in float32
        tensors = [x.float() if x.dtype in _HALVES else x for x in tensors]
    drawing: States = []

    def of_leaves(arrays: Leaves) -> Leaves:
        if not drawing:
            drawing.extend(generators(tensors))
            return inner.run(arrays)
        with replayed(drawing):
            return inner.run(arrays)

    where = _Where(called, library, f"torch:{device}" if library is None else library.name, copy_context())
    return inner.result(_applied(Step(called, of_leaves), where, tensors, home=True))


_HALVES = (torch.float16, torch.bfloat16)


class _Where(NamedTuple):
    """How a function runs, and its derivatives with it.

    Attributes
    ----------
    called : str
    library : Backend or None
        None for PyTorch.
    spec : str
        Where new arrays are made, for :class:`bpkit.use_backend`.
    context : Context
        The variables of the call; its derivatives may be asked for in another thread.
    """

    called: str
    library: Backend | None
    spec: str
    context: Context

    def array(self, i: int, x: torch.Tensor) -> Any:
        x = x.detach().resolve_conj().resolve_neg()
        return x if self.library is None else carried(self.called, f"tensor {i}", x, self.library)

    def tensor(self, i: int, x: Any) -> torch.Tensor:
        found: torch.Tensor = carried(self.called, f"result {i}", x, get_backend("torch"))
        if found.requires_grad:
            raise GradientCutError(
                f"{self.called}: result {i} depends on a tensor that requires gradients and is no argument "
                f"of the function, so its gradient would be lost. Pass it as an argument, or, if no gradient "
                f"is meant to flow, x.detach()"
            )
        # Another object than what bpkit's graph may keep, which would hold itself by way of torch's.
        return found.detach()


class _Kept(NamedTuple):
    """What the way forward left for the first way back.

    Attributes
    ----------
    moving : list of int
        The tensors to which it leads.
    pull : callable
    outs : list of (tensor, int)
        The results, and how often each had been written to.
    """

    moving: list[int]
    pull: Callable[[Leaves], Leaves]
    outs: list[tuple[torch.Tensor, int]]

    def untouched(self) -> bool:
        """Whether nobody has written to the results since, of which the way back may need the values."""
        return all(out._version == version for out, version in self.outs)


class _Call:
    """One call of a step.

    Parameters
    ----------
    step : Step
    where : _Where
    recording : bool
        Whether torch.autograd is at work.
    home : bool
        Whether it is the user's own call, in the thread and with the variables of it.
    shortcut : callable or None
        Returns what the step would from what was kept, or None if that is gone.
    """

    def __init__(
        self,
        step: Step,
        where: _Where,
        recording: bool,
        home: bool,
        shortcut: Callable[[Leaves], Leaves | None] | None,
    ) -> None:
        self.step = step
        self.where = where
        self.recording = recording
        self.home = home
        self.shortcut = shortcut
        self.kept: list[_Kept] = []

    def run(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """The results as tensors that share memory with no argument, nor with each other."""
        if not self.home:
            return self.where.context.copy().run(self._run, tensors)
        return self._run(tensors)

    def _run(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        arrays = [self.where.array(i, x) for i, x in enumerate(tensors)]
        # With the user's own grad mode what depends on other tensors shows that it does.
        with _without_autocast(tensors), use_backend(self.where.spec), torch.set_grad_enabled(self.recording):
            outs = None if self.shortcut is None else self.shortcut(arrays)
            pull = None
            moving = [i for i, x in enumerate(tensors) if x.requires_grad]
            if outs is None and moving and self.recording:
                outs, pull = self.step.recorded(arrays, moving)
            elif outs is None:
                outs = self.step.plain(arrays) if self.home else self.step.run(arrays)
            found = [self.where.tensor(i, x) for i, x in enumerate(outs)]
        found = _apart(found, tensors)
        if pull is not None:
            # Aliases count the writes to the results without holding the graph that holds this call.
            seen = [out.detach() for out in found]
            self.kept.append(_Kept(moving, pull, [(out, out._version) for out in seen]))
        return tuple(found)

    def from_kept(self, moving: list[int], reached: list[int], gs: Leaves) -> Leaves | None:
        """The gradients, if the way forward was kept for them and nobody took it yet."""
        try:
            kept = self.kept.pop()
        except IndexError:
            return None
        if not kept.untouched() or not set(moving) <= set(kept.moving):
            return None
        given = dict(zip(reached, gs, strict=True))
        found = dict(zip(kept.moving, kept.pull([given.get(i) for i in range(len(kept.outs))]), strict=True))
        return [found[i] for i in moving]


def _without_autocast(tensors: Sequence[torch.Tensor]) -> Any:
    kind = tensors[0].device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def _apart(found: list[torch.Tensor], tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Results of which none shares memory with an argument or another result: a copy of those that did."""
    taken = {x.untyped_storage().data_ptr() for x in tensors if x.numel()}
    for i, out in enumerate(found):
        if out.numel() and out.untyped_storage().data_ptr() in taken:
            found[i] = out = out.clone()
        taken.add(out.untyped_storage().data_ptr())
    return found


def _applied(
    step: Step,
    where: _Where,
    tensors: Sequence[torch.Tensor],
    home: bool = False,
    shortcut: Callable[[Leaves], Leaves | None] | None = None,
) -> tuple[torch.Tensor, ...]:
    """A step of tensors, as a node of torch's graph where it needs one."""
    if any(map(torch._C._functorch.is_legacy_batchedtensor, tensors)):
        raise ArgumentError(
            f"{where.called}: PyTorch's older vmap, of is_grads_batched=True and "
            f"torch.autograd.functional with vectorize=True, cannot run it. Use torch.func.jacrev, "
            f"torch.func.hessian or torch.func.vmap"
        )
    recording = torch.is_grad_enabled()
    outs: tuple[torch.Tensor, ...] = _Apply.apply(_Call(step, where, recording, home, shortcut), *tensors)
    return outs


class _Apply(torch.autograd.Function):  # type: ignore[misc]
    """A step of bpkit in torch's graph; its derivatives are steps too."""

    @staticmethod
    def forward(call: _Call, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return call.run(tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
        ctx.call, *tensors = inputs
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*[x for x in output if not is_inexact(x)])
        ctx.inexact = [is_inexact(x) for x in output]
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *gs: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        tensors, call = ctx.saved_tensors, ctx.call
        moving = [i for i, needed in enumerate(ctx.needs_input_grad[1:]) if needed]
        reached = [i for i, g in enumerate(gs) if g is not None]
        count = len(tensors)
        found: list[torch.Tensor | None] = [None] * count
        if moving and reached:
            # torch's gradient of a complex tensor is the conjugate of bpkit's.
            given = [g.conj() for g in gs if g is not None]
            outs = _applied(
                call.step.back(count, moving, reached),
                call.where,
                [*tensors, *given],
                shortcut=lambda arrays: call.from_kept(moving, reached, arrays[count:]),
            )
            for i, out in zip(moving, outs, strict=True):
                found[i] = out.conj()
        return None, *found

    @staticmethod
    def jvp(ctx: Any, *tangents: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        tensors, call = ctx.saved_tensors, ctx.call
        moving = [i for i, t in enumerate(tangents[1:]) if t is not None]
        given = [t for t in tangents[1:] if t is not None]
        outs = iter(_applied(call.step.forward(len(tensors), moving), call.where, [*tensors, *given]))
        return tuple([next(outs) if inexact else None for inexact in ctx.inexact])

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], call: _Call, *tensors: torch.Tensor
    ) -> tuple[tuple[torch.Tensor, ...], tuple[int, ...]]:
        before = torch.get_rng_state()
        outs = _applied(call.step.batched(in_dims[1:]), call.where, tensors, call.home)
        if info.randomness != "same" and not torch.equal(before, torch.get_rng_state()):
            raise ArgumentError(
                f"{call.where.called}: it draws random numbers, which under vmap are the same for every "
                f'example. If that is meant, say so: torch.func.vmap(..., randomness="same")'
            )
        return outs, (0,) * len(outs)
