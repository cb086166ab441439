"""Networks that read a sequence from one end to the other: a plain one, GRU and LSTM.

Time is an unrolled loop in which the weights are the same in each step. What does not wait for the step
before, the product with the input, is one product for all times.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from bpkit import namespace as xp
from bpkit import random
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError
from bpkit.namespace.manipulation import slices
from bpkit.nn.dropout import Dropout
from bpkit.nn.init import Initializer, bias_for, glorot_uniform
from bpkit.nn.module import Module, static
from bpkit.nn.sizes import array_shape, check_sizes, expect

__all__ = ["GRU", "LSTM", "RNN", "RecurrentWeights"]

State = tuple[RawArray, ...]


class RecurrentWeights(Module):
    """The weights of one layer in one direction, the gates below each other.

    Attributes
    ----------
    weight_ih : array, shape (gates * hidden_size, size of the input)
    weight_hh : array, shape (gates * hidden_size, hidden_size)
    bias_ih, bias_hh : array, shape (gates * hidden_size,), or None
    """

    weight_ih: RawArray
    weight_hh: RawArray
    bias_ih: RawArray | None
    bias_hh: RawArray | None


class _Recurrent(Module):
    """What the three have in common; they differ in the step."""

    layers: tuple[tuple[RecurrentWeights, ...], ...]
    dropout: Dropout
    input_size: int = static()
    hidden_size: int = static()

    _gates: ClassVar[int]
    _states: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        key: RawArray,
        num_layers: int = 1,
        bias: bool = True,
        dropout: float = 0.0,
        bidirectional: bool = False,
        init: Initializer = glorot_uniform,
        bias_init: Initializer | None = None,
        dtype: Any = None,
    ) -> None:
        check_sizes(
            type(self).__name__, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers
        )
        self.input_size, self.hidden_size = int(input_size), int(hidden_size)
        self.dropout = Dropout(dropout)
        directions = 2 if bidirectional else 1
        rows = self._gates * self.hidden_size
        bias_init = bias_init or bias_for(init)

        def weights(key: RawArray, width: int) -> RecurrentWeights:
            keys = xp.unstack(random.split(key, 4))
            return RecurrentWeights(
                init(keys[0], (rows, width), dtype),
                init(keys[1], (rows, self.hidden_size), dtype),
                bias_init(keys[2], (rows,), dtype) if bias else None,
                bias_init(keys[3], (rows,), dtype) if bias else None,
            )

        widths = [self.input_size] + [directions * self.hidden_size] * (int(num_layers) - 1)
        keys = iter(xp.unstack(random.split(key, directions * len(widths))))
        self.layers = tuple([tuple([weights(next(keys), n) for _ in range(directions)]) for n in widths])

    def __call__(self, x: RawArray, state: Any = None) -> tuple[RawArray, Any]:
        """Read sequences.

        Parameters
        ----------
        x : array, shape (n, time, input_size)
            At least one time.
        state : array, shape (num_layers * directions, n, hidden_size), or None
            Where each direction of each layer starts; None for zeros. For an LSTM a pair of such arrays.

        Returns
        -------
        outputs : array, shape (n, time, directions * hidden_size)
            Of the last layer; what was read from the end stands behind.
        state : array, shape (num_layers * directions, n, hidden_size)
            After the last step of each direction; for an LSTM a pair ``(h, c)``. Pass it on to continue.

        Raises
        ------
        ShapeError
            If the shape of `x` or of a state does not fit.
        ArgumentError
            If `x` is no array.
        """
        expected = f"(n, time, {self.input_size})"
        shape = array_shape(self, "x", x, expected)
        expect(len(shape) == 3 and shape[1] > 0 and shape[2] == self.input_size, self, "x", shape, expected)
        directions = len(self.layers[0])
        starts = self._starts(state, x, directions)
        ends: list[State] = []
        x = xp.permute_dims(x, (1, 0, 2))  # So that what belongs to one time lies together.
        last = len(self.layers) - 1
        for i, layer in enumerate(self.layers):
            sides = []
            for side, weights in enumerate(layer):
                found = self._read(weights, x, starts[i * directions + side], backward=side == 1)
                ends.append(found[-1])
                hidden = [h for h, *_ in (found[::-1] if side else found)]
                sides.append(xp.stack(hidden, axis=1 if i == last else 0))
            x = xp.concat(sides, axis=-1) if directions > 1 else sides[0]
            x = x if i == last else self.dropout(x)
        states = tuple([xp.stack(part, axis=0) for part in zip(*ends, strict=True)])
        return x, states if len(states) > 1 else states[0]

    def _read(self, weights: RecurrentWeights, x: RawArray, state: State, backward: bool) -> list[State]:
        """The states after each step, in the order in which they were taken."""
        projected = xp.matmul(x, xp.matrix_transpose(weights.weight_ih))
        bias = self._bias(weights)
        projected = projected if bias is None else xp.add(projected, bias)
        across = xp.matrix_transpose(weights.weight_hh)
        inputs = slices(projected, 0)
        states = []
        for z in reversed(inputs) if backward else inputs:
            state = self._step(z, xp.matmul(state[0], across), state, weights)
            states.append(state)
        return states

    def _bias(self, weights: RecurrentWeights) -> RawArray | None:
        """What is added to the product with the input."""
        return None if weights.bias_ih is None else xp.add(weights.bias_ih, weights.bias_hh)

    def _step(self, z: RawArray, a: RawArray, state: State, weights: RecurrentWeights) -> State:
        """The next state, from the products with the input and with the hidden state."""
        raise NotImplementedError

    def _parts(self, z: RawArray) -> tuple[RawArray, ...]:
        """Gates that stand beside each other."""
        return slices(xp.reshape(z, (z.shape[0], self._gates, self.hidden_size)), 1)

    def _starts(self, state: Any, x: RawArray, directions: int) -> Sequence[State]:
        """The state in which each direction of each layer starts."""
        count, size = directions * len(self.layers), self.hidden_size
        wanted = (count, x.shape[0], size)
        if state is None:
            zeros = xp.broadcast_to(xp.zeros_like(x[:, 0, :1]), wanted[1:])
            return [(zeros,) * len(self._states)] * count
        given = (state,) if len(self._states) == 1 else state
        if not isinstance(given, tuple | list) or len(given) != len(self._states):
            raise ArgumentError(
                f"{self!r}: state must be a pair of arrays (h, c), got {type(state).__name__}"
            )
        for name, part in zip(self._states, given, strict=True):
            shape = array_shape(self, name, part, str(wanted))
            expect(shape == wanted, self, f"state {name}", shape, str(wanted))
        return list(zip(*[slices(part, 0) for part in given], strict=True))

    def __repr__(self) -> str:
        parts = [f"{self.input_size} → {self.hidden_size}"]
        parts += [f"num_layers={len(self.layers)}"] * (len(self.layers) > 1)
        parts += ["bidirectional=True"] * (len(self.layers[0]) > 1)
        return f"{type(self).__name__}({', '.join(parts)})"


class RNN(_Recurrent):
    """The plain recurrent network: ``h = tanh(weight_ih @ x + bias_ih + weight_hh @ h + bias_hh)``.

    Parameters
    ----------
    input_size, hidden_size : int
        The numbers of features of the input and of the state.
    key : array
        From :func:`bpkit.random.key` or :func:`bpkit.random.split`.
    nonlinearity : str
        ``"tanh"`` or ``"relu"``.
    num_layers : int
        Each reads the outputs of the one before.
    bias : bool
        Whether there are biases.
    dropout : float
        The share of the outputs of each layer but the last that training sets to 0.
    bidirectional : bool
        Whether each layer reads from both ends, with weights for each.
    init, bias_init : callable
        As in :class:`bpkit.nn.Dense`.
    dtype : floating dtype or None
        Of the weights; None for the default of the current backend.

    Attributes
    ----------
    layers : tuple of tuple of RecurrentWeights
        By layer and direction.
    dropout : Dropout
    input_size, hidden_size : int
    nonlinearity : str

    Raises
    ------
    ArgumentError
        If a size is not a positive int, or there is no such nonlinearity.

    References
    ----------
    J. L. Elman, "Finding structure in time", Cognitive Science 14, 1990.

    Examples
    --------
    >>> from bpkit import random, xp
    >>> layer = RNN(3, 5, key=random.key(0), bidirectional=True)
    >>> layer
    RNN(3 → 5, bidirectional=True)
    >>> outputs, state = layer(xp.zeros((2, 7, 3)))
    >>> outputs.shape, state.shape
    ((2, 7, 10), (2, 2, 5))
    """

    nonlinearity: str = static()

    _gates = 1

    def __init__(
        self, input_size: int, hidden_size: int, *, key: RawArray, nonlinearity: str = "tanh", **options: Any
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(f'RNN: nonlinearity must be "tanh" or "relu", got {nonlinearity!r}')
        super().__init__(input_size, hidden_size, key=key, **options)
        self.nonlinearity = nonlinearity

    def _step(self, z: RawArray, a: RawArray, state: State, weights: RecurrentWeights) -> State:
        return ((xp.tanh if self.nonlinearity == "tanh" else xp.relu)(xp.add(z, a)),)


class GRU(_Recurrent):
    """The gated recurrent unit: gates r and z, a candidate n.

    ``r = sigmoid(i_r + h_r)``, ``z = sigmoid(i_z + h_z)``, ``n = tanh(i_n + r * h_n)`` and
    ``h = (1 - z) * n + z * h``, where ``i = weight_ih @ x + bias_ih`` and ``h_… = weight_hh @ h + bias_hh``.
    The rows of the weights are in the order r, z, n. As in PyTorch and cuDNN, r is applied after the product.

    Parameters
    ----------
    input_size, hidden_size, key, num_layers, bias, dropout, bidirectional, init, bias_init, dtype
        As for :class:`RNN`.

    Attributes
    ----------
    layers, dropout, input_size, hidden_size
        As for :class:`RNN`.

    References
    ----------
    K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
    translation", EMNLP 2014.

    Examples
    --------
    >>> from bpkit import random, xp
    >>> outputs, state = GRU(3, 5, key=random.key(0), num_layers=2)(xp.zeros((2, 7, 3)))
    >>> outputs.shape, state.shape
    ((2, 7, 5), (2, 2, 5))
    """

    _gates = 3

    def __init__(self, input_size: int, hidden_size: int, *, key: RawArray, **options: Any) -> None:
        super().__init__(input_size, hidden_size, key=key, **options)

    def _bias(self, weights: RecurrentWeights) -> RawArray | None:
        return weights.bias_ih

    def _step(self, z: RawArray, a: RawArray, state: State, weights: RecurrentWeights) -> State:
        (h,) = state
        i_r, i_z, i_n = self._parts(z)
        h_r, h_z, h_n = self._parts(a if weights.bias_hh is None else xp.add(a, weights.bias_hh))
        candidate = xp.tanh(xp.add(i_n, xp.multiply(xp.expit(xp.add(i_r, h_r)), h_n)))
        return (xp.add(candidate, xp.multiply(xp.expit(xp.add(i_z, h_z)), xp.subtract(h, candidate))),)


class LSTM(_Recurrent):
    """Long short-term memory: gates i, f and o, a candidate g, and a cell c beside the hidden state h.

    ``c = sigmoid(f) * c + sigmoid(i) * tanh(g)`` and ``h = sigmoid(o) * tanh(c)``, where the four are
    ``weight_ih @ x + bias_ih + weight_hh @ h + bias_hh``, in rows in the order i, f, g, o.

    Parameters
    ----------
    input_size, hidden_size, key, num_layers, bias, dropout, bidirectional, init, bias_init, dtype
        As for :class:`RNN`.

    Attributes
    ----------
    layers, dropout, input_size, hidden_size
        As for :class:`RNN`.

    References
    ----------
    S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997.
    F. A. Gers, J. Schmidhuber and F. Cummins, "Learning to forget", Neural Computation 12, 2000.

    Examples
    --------
    >>> from bpkit import random, xp
    >>> outputs, (h, c) = LSTM(3, 5, key=random.key(0))(xp.zeros((2, 7, 3)))
    >>> outputs.shape, h.shape, c.shape
    ((2, 7, 5), (1, 2, 5), (1, 2, 5))
    """

    _gates = 4
    _states = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int, *, key: RawArray, **options: Any) -> None:
        super().__init__(input_size, hidden_size, key=key, **options)

    def _step(self, z: RawArray, a: RawArray, state: State, weights: RecurrentWeights) -> State:
        i, f, g, o = self._parts(xp.add(z, a))
        c = xp.add(xp.multiply(xp.expit(f), state[1]), xp.expit(i) * xp.tanh(g))
        return xp.expit(o) * xp.tanh(c), c
