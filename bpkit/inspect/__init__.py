"""What the gradient says about a network.

Backpropagation "gives us detailed insights into how changing the weights and biases changes the overall
behaviour of the network" (M. Nielsen, Neural Networks and Deep Learning, chapter 2). :func:`observe` gives
the output and the error of every layer as arrays, :func:`look` the same as numbers, and a :class:`Recorder`
takes a look after each epoch of a training. :func:`equations` checks the book's four equations on a network
of one's own; :func:`sensitivity` and :func:`sensitive_weights` say to what the cost is most sensitive.
:func:`diagnose` says in words what is wrong with a training.
"""

from bpkit.inspect.doctor import Diagnosis, Finding, diagnose
from bpkit.inspect.equations import Equation, Equations, equations
from bpkit.inspect.look import DataLook, Histogram, LayerLook, Look, OutputLook, TargetLook, look
from bpkit.inspect.observe import Observation, ObservedLayer, observe
from bpkit.inspect.recorder import INSIGHT, Recorder, read_looks
from bpkit.inspect.sensitivity import SensitiveWeight, sensitive_weights, sensitivity

__all__ = [
    "INSIGHT",
    "DataLook",
    "Diagnosis",
    "Equation",
    "Equations",
    "Finding",
    "Histogram",
    "LayerLook",
    "Look",
    "Observation",
    "ObservedLayer",
    "OutputLook",
    "Recorder",
    "SensitiveWeight",
    "TargetLook",
    "diagnose",
    "equations",
    "look",
    "observe",
    "read_looks",
    "sensitive_weights",
    "sensitivity",
]
