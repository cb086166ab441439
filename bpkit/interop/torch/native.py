"""A function of tensors that torch.autograd differentiates, as bpkit's transforms ask for it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from bpkit._protocol import Backend
from bpkit.errors import GradientCutError
from bpkit.interop.foreign import Native
from bpkit.interop.torch.draws import States, generators, replayed
from bpkit.kinds import is_inexact
from bpkit.registry import get_backend
from bpkit.transforms.functions import Leaves

__all__ = ["TorchNative"]

Tensors = list[torch.Tensor]
Evaluate = Callable[[Tensors, bool], Tensors]


class _Graph(NamedTuple):
    """What torch.autograd recorded of a run."""

    moving: list[int]
    inputs: Tensors
    outs: Tensors


class TorchNative(Native):
    """A function of a list of tensors.

    Parameters
    ----------
    called : str
    evaluate : callable
        ``evaluate(tensors, inside)`` returns the results; `inside` says whether torch.func runs around it,
        in which torch.autograd does not work.
    """

    def __init__(self, called: str, evaluate: Evaluate) -> None:
        self.called = called
        self.evaluate = evaluate
        self._graphs: list[_Graph] = []

    @classmethod
    def of(cls, called: str, body: Callable[[Tensors], Tensors]) -> "TorchNative":
        """The function itself, which draws the same random numbers when it is run again for a derivative."""
        return _Root(called, body)

    @property
    def library(self) -> Backend:
        """PyTorch's."""
        return get_backend("torch")

    def run(self, arrays: Leaves) -> Leaves:
        """The results, recorded by torch.autograd only where the caller's own tensors ask for it."""
        with _recordable(arrays) as given:
            return self.evaluate(given, False)

    def recorded(self, arrays: Leaves, moving: Sequence[int]) -> Leaves:
        """The results; the graph of torch.autograd is kept."""
        with _recordable(arrays) as given, torch.enable_grad():
            given = [x.detach().requires_grad_(i in moving) for i, x in enumerate(given)]
            outs = self.evaluate(given, False)
        self._check_closure(given, outs)
        self._graphs.append(_Graph(list(moving), [given[i] for i in moving], outs))
        return [x.detach() for x in outs]

    def back(self, count: int, moving: Sequence[int], reached: Sequence[int]) -> "TorchNative":
        """By the graph that was kept, once; by another one, if it is differentiated or asked for again."""

        def evaluate(arrays: Tensors, inside: bool) -> Tensors:
            leaves = arrays[:count]
            # torch's gradient of a complex tensor is the conjugate of bpkit's.
            gs = [g.conj() for g in arrays[count:]]
            if inside:
                of_moving = self._of_moving(leaves, moving, lambda outs: [outs[i] for i in reached])
                found = torch.func.vjp(of_moving, *[leaves[i] for i in moving])[1](tuple(gs))
            elif torch.is_grad_enabled() and any(x.requires_grad for x in arrays):
                found = self._gradients(self._graph(leaves, moving), reached, gs, create_graph=True)
            else:
                graph = self._graphs.pop() if self._graphs else None
                if graph is None or graph.moving != list(moving):
                    graph = self._graph(leaves, moving)
                found = self._gradients(graph, reached, gs, create_graph=False)
            return [
                torch.zeros_like(leaves[i]) if g is None else g.conj()
                for i, g in zip(moving, found, strict=True)
            ]

        return TorchNative(self.called, evaluate)

    def forward(self, count: int, moving: Sequence[int]) -> "TorchNative":
        """By transposing the way back: torch.func.jvp inside another one is wrong for some functions.

        In torch 2.13 those are ``linalg.solve``, ``linalg.det`` and ``layer_norm``, among others.
        """

        def evaluate(arrays: Tensors, inside: bool) -> Tensors:
            leaves, tangents = arrays[:count], arrays[count:]
            if inside:
                of_moving = self._of_moving(leaves, moving, lambda outs: [x for x in outs if is_inexact(x)])
                outs, pull = torch.func.vjp(of_moving, *[leaves[i] for i in moving])
                push = torch.func.vjp(lambda *gs: pull(gs), *[torch.zeros_like(x) for x in outs])[1]
                return list(push(tuple(tangents)))
            create_graph = torch.is_grad_enabled() and any(x.requires_grad for x in arrays)
            graph = self._graph(leaves, moving)
            outs = [x for x in graph.outs if is_inexact(x)]
            gs = [torch.zeros_like(x, requires_grad=True) for x in outs]
            with torch.enable_grad():
                back = self._gradients(_Graph([], graph.inputs, outs), range(len(outs)), gs, True)
            moved = [(g, t) for g, t in zip(back, tangents, strict=True) if g is not None and g.requires_grad]
            linear = _Graph([], gs, [g for g, _ in moved])
            found = self._gradients(linear, range(len(moved)), [t for _, t in moved], create_graph)
            return [torch.zeros_like(x) if t is None else t for x, t in zip(outs, found, strict=True)]

        return TorchNative(self.called, evaluate)

    def batched(self, which: Sequence[bool]) -> "TorchNative":
        """By torch.func.vmap."""

        def evaluate(arrays: Tensors, inside: bool) -> Tensors:
            whole = torch.func.vmap(
                lambda *xs: tuple(self.evaluate(list(xs), True)),
                in_dims=tuple([0 if own else None for own in which]),
            )
            return list(whole(*arrays))

        return TorchNative(self.called, evaluate)

    def _of_moving(
        self, leaves: Tensors, moving: Sequence[int], chosen: Callable[[Tensors], Tensors]
    ) -> Callable[..., tuple[torch.Tensor, ...]]:
        """Some results as a function of some of the leaves, for torch.func."""

        def of_moving(*xs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            given = list(leaves)
            for i, x in zip(moving, xs, strict=True):
                given[i] = x
            return tuple(chosen(self.evaluate(given, True)))

        return of_moving

    def _graph(self, leaves: Tensors, moving: Sequence[int]) -> _Graph:
        with torch.enable_grad():
            # Of a tensor that stands in two places each place has a gradient of its own.
            given = [x.view_as(x) if x.requires_grad else x.detach() for x in leaves]
            for i in moving:
                if not given[i].requires_grad:
                    given[i].requires_grad_()
            outs = self.evaluate(given, False)
        return _Graph(list(moving), [given[i] for i in moving], outs)

    def _gradients(
        self, graph: _Graph, reached: Sequence[int], gs: Tensors, create_graph: bool
    ) -> Sequence[torch.Tensor | None]:
        seeds = [(graph.outs[i], g) for i, g in zip(reached, gs, strict=True) if graph.outs[i].requires_grad]
        if not seeds:
            return [None] * len(graph.inputs)
        outs, given = zip(*seeds, strict=True)
        found: Sequence[torch.Tensor | None] = torch.autograd.grad(
            outs, graph.inputs, given, create_graph=create_graph, allow_unused=True
        )
        return found

    def _check_closure(self, given: Tensors, outs: Tensors) -> None:
        """Refuse results that depend on tensors which require gradients and are no arguments."""
        own = set(map(id, given))
        seen: set[Any] = set()
        nodes = [out.grad_fn for out in outs]
        while nodes:
            node = nodes.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            leaf = getattr(node, "variable", None)
            if leaf is not None and id(leaf) not in own:
                raise GradientCutError(
                    f"{self.called}: its result depends on a tensor of shape {tuple(leaf.shape)} that "
                    f"requires gradients and is no argument, so its gradient would be lost. Pass it as an "
                    f"argument (of a torch.nn.Module, pass the module itself), or, if no gradient is meant "
                    f"to flow, x.detach()"
                )
            nodes += [parent for parent, _ in node.next_functions]


class _Root(TorchNative):
    """The function itself."""

    def __init__(self, called: str, body: Callable[[Tensors], Tensors]) -> None:
        super().__init__(called, self._again)
        self._body = body
        self._drawing: States = []

    def run(self, arrays: Leaves) -> Leaves:
        """The results, with new random numbers."""
        self._drawing = []
        return self._again(arrays, False)

    def recorded(self, arrays: Leaves, moving: Sequence[int]) -> Leaves:
        """The same, with the graph kept."""
        self._drawing = []
        return super().recorded(arrays, moving)

    def _again(self, arrays: Tensors, inside: bool) -> Tensors:
        # Copies: the tensors lie in the memory of the caller's arrays, and the function may write to them.
        given = [x.clone() for x in arrays]
        if self._drawing:
            with replayed(self._drawing):
                return self._body(given)
        self._drawing = generators(arrays)
        return self._body(given)


@contextmanager
def _recordable(arrays: Tensors) -> Iterator[Tensors]:
    """Leave torch.inference_mode, in which torch.autograd records nothing, and copy tensors made in it."""
    if not torch.is_inference_mode_enabled():
        yield [x.clone() if x.is_inference() else x for x in arrays]
        return
    # It would turn the recording on with it, as no mode around it asked for.
    with torch.inference_mode(False), torch.no_grad():
        yield [x.clone() if x.is_inference() else x for x in arrays]
