"""Names of PyTorch, Keras and optax: the error says what bpkit calls it."""

import re
from functools import reduce
from typing import Any

import pytest

import bpkit
from bpkit import losses, nn, optim
from bpkit._other_names import _ELSEWHERE
from bpkit.errors import ArgumentError, UnknownNameError


@pytest.mark.parametrize(
    ("package", "name", "expected"),
    [
        (nn, "Linear", "bpkit.nn.Linear does not exist; write bpkit.nn.Dense"),
        (nn, "ReLU", "bpkit.nn.ReLU does not exist; did you mean bpkit.nn.relu?"),
        (nn, "LeakyReLU", "bpkit.nn.LeakyReLU does not exist; did you mean bpkit.nn.leaky_relu?"),
        (nn, "Conv2D", "bpkit.nn.Conv2D does not exist; did you mean bpkit.nn.Conv2d?"),
        (nn, "MSELoss", "bpkit.nn.MSELoss does not exist; write bpkit.losses.mean_squared_error"),
        (nn, "nothing_near", "bpkit.nn.nothing_near does not exist"),
        (losses, "mse", "bpkit.losses.mse does not exist; write bpkit.losses.mean_squared_error"),
        (optim, "Adam", "bpkit.optim.Adam does not exist; did you mean bpkit.optim.adam?"),
        (optim, "StepLR", "bpkit.optim.StepLR does not exist; write bpkit.optim.schedules.step"),
        (
            optim.schedules,
            "CosineAnnealingLR",
            "bpkit.optim.schedules.CosineAnnealingLR does not exist; write bpkit.optim.schedules.cosine",
        ),
    ],
)
def test_an_unknown_name_is_an_error_with_the_known_one(package: Any, name: str, expected: str) -> None:
    with pytest.raises(UnknownNameError) as found:
        getattr(package, name)
    assert str(found.value).splitlines()[0] == expected
    assert not hasattr(package, name)


def test_all_that_is_advised_exists_and_no_name_of_another_library_does() -> None:
    said = " ".join(f"bpkit.{name}" for name in _ELSEWHERE)
    for path in re.findall(r"bpkit\.([\w.]*\w)", said):
        assert reduce(getattr, path.split("."), bpkit) is not None
    for name, others in _ELSEWHERE.items():
        package = getattr(bpkit, name.partition(".")[0])
        for other in others.split():
            assert not hasattr(package, other)


def test_a_module_with_forward_is_told_how_layers_are_called() -> None:
    class Turned(nn.Module):
        weight: Any

        def forward(self, x: Any) -> Any:
            return self.weight * x

    class Called(Turned):
        def __call__(self, x: Any) -> Any:
            return self.forward(x)

    with pytest.raises(ArgumentError, match=r"Turned cannot be called: it has a method forward.*__call__"):
        Turned(2.0)(3.0)  # type: ignore[operator]
    assert Turned(2.0).forward(3.0) == Called(2.0)(3.0) == 6.0
