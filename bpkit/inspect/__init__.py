"""What the gradient says about a network.

Backpropagation "gives us detailed insights into how changing the weights and biases changes the overall
behaviour of the network" (M. Nielsen, Neural Networks and Deep Learning, chapter 2). :func:`observe` gives
the output and the error of every layer as arrays, :func:`look` the same as numbers, a :class:`Recorder` takes
a look after each epoch of a training.
"""

from bpkit.inspect.look import DataLook, Histogram, LayerLook, Look, OutputLook, TargetLook, look
from bpkit.inspect.observe import Observation, ObservedLayer, observe
from bpkit.inspect.recorder import INSIGHT, Recorder, read_looks

__all__ = [
    "INSIGHT",
    "DataLook",
    "Histogram",
    "LayerLook",
    "Look",
    "Observation",
    "ObservedLayer",
    "OutputLook",
    "Recorder",
    "TargetLook",
    "look",
    "observe",
    "read_looks",
]
