"""Class activation maps: what a layer gave and how a score depends on it -> where the score comes from.

Pure functions. A layer's activations A and the gradient G = dS/dA of a score S are (C, H, W), for one picture; maps are
(H, W), not normalised. Sums run over places unless said otherwise.
"""

import torch
from torch import Tensor

TOP = 100  # predictions in a score
TINY = 1e-12


def target_score(
    predictions: Tensor, class_id: int | None = None, threshold: float = 0.25, top: int = TOP
) -> tuple[Tensor, int]:
    """The score S whose gradient is taken, and how many predictions are in it.

    predictions (N, 5 + nc) are one picture's before NMS: box, objectness, class scores, all after the sigmoid. The
    confidence of a prediction is objectness x its highest class score, or x the score of `class_id`. S is the sum of
    the `top` highest confidences above `threshold`. Boxes are no part of it.
    """
    scores = predictions[:, 4:5] * predictions[:, 5:]
    confidence = scores.amax(1) if class_id is None else scores[:, class_id]
    highest = confidence.topk(min(top, len(confidence))).values
    kept = highest[highest > threshold]
    return kept.sum(), len(kept)


def gradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM (arXiv 1610.02391, equations 1 and 2): relu(sum_k w_k A_k), w_k = mean of G_k."""
    return _weighted(activations, gradients.mean((1, 2)))


def gradcam_plus_plus(activations: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM++ (arXiv 1710.11063): relu(sum_k w_k A_k), w_k = sum alpha_k relu(G_k).

    Equation 19 for Y = exp(S), whose n-th derivative is exp(S) G^n: alpha_k = G_k^2 / (2 G_k^2 + sum(A_k) G_k^3),
    which is 1 / (2 + sum(A_k) G_k) where G_k is not 0. exp(S) > 0 scales the whole map alike and is left out. The
    paper's maps come out of a ReLU: sum(A_k) >= 0. After SiLU it may be negative; it then counts as 0, or alpha would
    pass through infinity.
    """
    total = activations.sum((1, 2), keepdim=True).clamp(min=0)
    rising = gradients.clamp(min=0)  # others have the weight 0
    return _weighted(activations, (rising / (2 + total * rising)).sum((1, 2)))


def eigencam(activations: Tensor) -> Tensor:
    """Eigen-CAM (arXiv 2008.00299): the places (H*W, C) projected on their first right singular vector, not centred.

    A singular vector's sign is arbitrary: the one is taken with which the map agrees with the sum of the channels
    (their inner product is not negative), so that high stands for strong activations. There is no ReLU: values may
    be negative.
    """
    c, h, w = activations.shape
    places = activations.reshape(c, h * w).T.double()
    left, strength, _ = torch.linalg.svd(places, full_matrices=False)
    map_ = left[:, 0] * strength[0]
    return (-map_ if map_ @ places.sum(1) < 0 else map_).reshape(h, w)


def gates(x: Tensor, y: Tensor, groups: int) -> Tensor:
    """The factor in 0..1 between input and output of an EMA block, both (B, C, H, W): (B, groups, H, W).

    All channels of a group have the same factor at a place; the least-squares one is found without dividing by values
    near zero.
    """
    b, c, h, w = x.shape
    x, y = (map_.double().reshape(b, groups, c // groups, h, w) for map_ in (x, y))
    return (x * y).sum(2) / x.square().sum(2).clamp(min=TINY)


def _weighted(activations: Tensor, weights: Tensor) -> Tensor:
    return torch.einsum("chw,c->hw", activations, weights).clamp(min=0)
