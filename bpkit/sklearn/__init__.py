"""Networks as scikit-learn's estimators: the parameters of its MLPs, and any model and loss of bpkit.

Needs scikit-learn: ``pip install scikit-learn``.
"""

try:
    import sklearn as _sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        "bpkit.sklearn needs scikit-learn, which is not installed: pip install scikit-learn"
    ) from error

from bpkit.sklearn.classifier import BackpropClassifier
from bpkit.sklearn.networks import Autoencoder
from bpkit.sklearn.regressor import BackpropRegressor
from bpkit.sklearn.transformer import BackpropTransformer

__all__ = ["Autoencoder", "BackpropClassifier", "BackpropRegressor", "BackpropTransformer"]
