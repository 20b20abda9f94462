"""The losses, each with its source."""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

IGNORED: Final = -1
"""The label of padding in sequences."""


def task_loss(outputs: Tensor, label: Tensor) -> Tensor:
    """Returns the loss by the kind of ``label``: whole numbers are classes (outputs [n, classes] or [n, steps,
    classes]), a matrix of 0 and 1 as wide as the outputs has several labels per sample (binary cross entropy on
    logits), other floats are values (mean squared error).

    Raises ValueError for shapes that do not match.
    """
    if not label.is_floating_point() and label.shape != outputs.shape:
        return functional.cross_entropy(_classes_second(outputs, label), label.long(), ignore_index=IGNORED)
    if label.shape != outputs.shape and label.shape != outputs.squeeze(-1).shape:
        raise ValueError(f"the outputs have shape {list(outputs.shape)}, the labels {list(label.shape)}")
    if not label.is_floating_point():
        return functional.binary_cross_entropy_with_logits(outputs, label.to(outputs.dtype))
    return functional.mse_loss(outputs.reshape(label.shape), label.to(outputs.dtype))


def _classes_second(outputs: Tensor, label: Tensor) -> Tensor:
    """Returns the outputs as [n, classes, …], the form of ``cross_entropy``."""
    moved = outputs.movedim(-1, 1) if label.dim() > 1 else outputs
    if moved.dim() != label.dim() + 1 or moved.shape[0] != label.shape[0] or moved.shape[2:] != label.shape[1:]:
        raise ValueError(f"the outputs have shape {list(outputs.shape)}, the labels {list(label.shape)}")
    return moved


def soft_targets(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Returns ``T^2 KL(p_t || p_s)`` of logits [n, …, classes], the mean over samples.

    Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network": the factor keeps the gradients as
    large as those of the hard labels, whatever the temperature is.
    """
    classes = student.shape[-1]
    log_student = functional.log_softmax(student.reshape(-1, classes) / temperature, dim=1)
    log_teacher = functional.log_softmax(teacher.reshape(-1, classes) / temperature, dim=1)
    divergence = functional.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
    return divergence * temperature**2


def attention_transfer(student: Tensor, teacher: Tensor) -> Tensor:
    """Returns the distance of attention maps: squares summed over channels, normalised; the numbers of channels may
    differ.

    Features are [n, channels, …] with the same trailing sizes. Zagoruyko and Komodakis 2017, "Paying More Attention to
    Attention".
    """
    return (_attention(student) - _attention(teacher)).pow(2).sum(dim=1).mean()


def _attention(features: Tensor) -> Tensor:
    return functional.normalize(features.pow(2).mean(dim=1).flatten(1), dim=1)


def coral(source: Tensor, target: Tensor) -> Tensor:
    """Returns the distance of the covariances of features [n, d] and [m, d]; Sun and Saenko 2016, "Deep CORAL",
    equation 1."""
    width = source.shape[1]
    return (_covariance(source) - _covariance(target)).pow(2).sum() / (4 * width**2)


def _covariance(features: Tensor) -> Tensor:
    centred = features - features.mean(dim=0)
    return centred.t() @ centred / max(1, len(features) - 1)


def mmd(source: Tensor, target: Tensor) -> Tensor:
    """Returns the squared maximum mean discrepancy of features [n, d] and [m, d]; Gretton et al. 2012, equation 5
    (biased), with the five Gaussian kernels of Long et al. 2015, "Learning Transferable Features with Deep Adaptation
    Networks", around the mean distance."""
    every = torch.cat([source, target])
    distances = torch.cdist(every, every).pow(2)
    middle = distances.detach().mean().clamp_min(1e-12)
    kernels = torch.stack([torch.exp(-distances / (middle * factor)) for factor in (0.25, 0.5, 1.0, 2.0, 4.0)]).sum(0)
    n = len(source)
    return kernels[:n, :n].mean() + kernels[n:, n:].mean() - 2 * kernels[:n, n:].mean()
