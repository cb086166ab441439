"""What PyTorch, Keras and optax call the parts of the kit, for errors that say what to write."""

from collections.abc import Iterable

from bpkit.errors import UnknownNameError
from bpkit.namespace.names import advice

__all__ = ["unknown_name"]

_ELSEWHERE = {
    "losses.cosine": "cosine_loss cosine_similarity CosineEmbeddingLoss CosineSimilarity",
    "losses.hinge": "hinge_loss",
    "losses.huber": "huber_loss HuberLoss smooth_l1 smooth_l1_loss SmoothL1Loss",
    "losses.kl_divergence": "kl_div kl_loss KLDivLoss KLDivergence",
    "losses.mean_absolute_error": "mae MAE mae_loss l1_loss L1Loss",
    "losses.mean_squared_error": "mse MSE mse_loss MSELoss",
    "losses.multiclass_hinge": "multi_margin_loss MultiMarginLoss",
    "losses.sigmoid_cross_entropy, of outputs before the sigmoid": (
        "bce BCE BCELoss bce_with_logits BCEWithLogitsLoss binary_cross_entropy binary_crossentropy "
        "binary_cross_entropy_with_logits BinaryCrossentropy sigmoid_binary_cross_entropy"
    ),
    "losses.softmax_cross_entropy, of outputs before the softmax": (
        "cross_entropy CrossEntropyLoss categorical_crossentropy sparse_categorical_crossentropy "
        "CategoricalCrossentropy SparseCategoricalCrossentropy nll_loss NLLLoss"
    ),
    "nn.AvgPool1d": "AveragePooling1D",
    "nn.AvgPool2d": "AveragePooling2D",
    "nn.BatchNorm": "BatchNorm1d BatchNorm2d BatchNorm3d BatchNormalization",
    "nn.Conv1d or bpkit.nn.Conv2d": "Conv Convolution",
    "nn.ConvTranspose1d": "Conv1DTranspose",
    "nn.ConvTranspose2d": "Conv2DTranspose ConvTranspose",
    "nn.Dense": "Linear LazyLinear Affine",
    "nn.GlobalAvgPool": "AdaptiveAvgPool1d AdaptiveAvgPool2d GlobalAveragePooling1D GlobalAveragePooling2D",
    "nn.GlobalMaxPool": "AdaptiveMaxPool1d AdaptiveMaxPool2d GlobalMaxPooling1D GlobalMaxPooling2D",
    "nn.GroupNorm": "GroupNormalization",
    "nn.LayerNorm": "LayerNormalization",
    "nn.MaxPool1d": "MaxPooling1D",
    "nn.MaxPool2d": "MaxPooling2D",
    "nn.Module with an array as a field": "Parameter Variable",
    "nn.Module with a list or a dict as a field": "ModuleList ModuleDict",
    "nn.MultiHeadAttention": "Attention",
    "nn.TransformerBlock": "TransformerEncoderLayer",
    "nn.buffer": "Buffer register_buffer",
    "optim.accumulate": "MultiSteps",
    "optim.averaged": "ema EMA ExponentialMovingAverage AveragedModel swa_utils",
    "optim.clip_by_norm": "clip_grad_norm clip_grad_norm_ clip_by_global_norm",
    "optim.clip_by_value": "clip clip_grad_value clip_grad_value_",
    "optim.clip_by_norm(bpkit.optim.adam(1e-3), 1.0): one optimizer around another": "chain",
    "optim.frozen": "set_to_zero",
    "optim.groups": "multi_transform partition",
    "optim.on_plateau": "ReduceLROnPlateau reduce_on_plateau",
    "optim.schedules": "lr_scheduler",
    "optim.schedules.cosine": "CosineAnnealingLR CosineDecay cosine_decay_schedule",
    "optim.schedules.cosine_restarts": "CosineAnnealingWarmRestarts CosineDecayRestarts",
    "optim.schedules.exponential": "ExponentialLR ExponentialDecay exponential_decay",
    "optim.schedules.join": "SequentialLR join_schedules",
    "optim.schedules.linear": "LinearLR linear_schedule",
    "optim.schedules.multi_step": "MultiStepLR PiecewiseConstantDecay",
    "optim.schedules.one_cycle": "OneCycleLR",
    "optim.schedules.polynomial": "PolynomialLR PolynomialDecay",
    "optim.schedules.step": "StepLR",
    "optim.sgd(rate, momentum=0.9)": "Momentum momentum",
}
_HERE = {other: name for name, others in _ELSEWHERE.items() for other in others.split()}


def unknown_name(package: str, names: Iterable[str], name: str) -> AttributeError:
    """The error for a name that a package of the kit does not have, with the one that it has for it.

    Parameters
    ----------
    package : str
        ``"bpkit.nn"``
    names : iterable of str
        What it has.
    name : str
    """
    if name.startswith("__"):
        return AttributeError(f"module {package!r} has no attribute {name!r}")
    inside = package.removeprefix("bpkit.")
    said = advice(name, [f"{inside}.{one}" for one in names], _HERE, "bpkit")
    return UnknownNameError(f"{package}.{name} does not exist{said}")
