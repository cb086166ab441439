"""Random numbers of torch's generators, drawn again where a function runs again for its derivative."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["States", "generators", "replayed"]

States = list[tuple[Any, torch.Tensor]]


def generators(tensors: Sequence[torch.Tensor]) -> States:
    """The states of torch's random generators: that of the CPU, and those of the tensors' devices."""
    devices = {x.device for x in tensors if x.device.type != "cpu"}
    on_devices = [(d, torch.get_device_module(d).get_rng_state(d)) for d in devices]
    return [(None, torch.get_rng_state()), *on_devices]


@contextmanager
def replayed(states: States) -> Iterator[None]:
    """Draw from these states on, and go on afterwards as if nothing had been drawn."""
    before = [
        (d, torch.get_rng_state() if d is None else torch.get_device_module(d).get_rng_state(d))
        for d, _ in states
    ]
    _set(states)
    try:
        yield
    finally:
        _set(before)


def _set(states: States) -> None:
    for device, state in states:
        if device is None:
            torch.set_rng_state(state)
        else:
            torch.get_device_module(device).set_rng_state(state, device)
