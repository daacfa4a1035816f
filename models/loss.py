"""YOLOv5's loss: box (CIoU), objectness and class terms over the raw maps."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional

from models.assigner import Positives, assign
from models.ignored import ignored_cells
from utils.boxes import bbox_iou

BALANCE = {3: (4.0, 1.0, 0.4)}  # objectness weight per level, finest first
BALANCE_OTHERS = (4.0, 1.0, 0.25, 0.06, 0.02)
FOCAL_ALPHA = 0.25


class DetectionLoss:
    """loss = DetectionLoss(model, hyp, imgsz); total, terms = loss(raw, targets); loss(raw, targets, regions)

    hyp: a hyper-parameter file's content, left as it is. Its gains are scaled here: box by 3 / levels, cls by
    nc / 80 x 3 / levels, obj by (imgsz / 640)^2 x 3 / levels. label_smoothing eps: class targets 1 - eps/2 and eps/2.
    """

    def __init__(self, model: Any, hyp: Mapping[str, float], imgsz: int, label_smoothing: float = 0.0):
        head = model.head
        levels = 3 / head.nl
        self.head = head
        self.box_gain = hyp["box"] * levels
        self.cls_gain = hyp["cls"] * head.nc / 80 * levels
        self.obj_gain = hyp["obj"] * (imgsz / 640) ** 2 * levels
        self.cls_weight, self.obj_weight = hyp["cls_pw"], hyp["obj_pw"]
        self.anchor_t, self.gamma = hyp["anchor_t"], hyp.get("fl_gamma", 0.0)
        self.positive, self.negative = 1 - label_smoothing / 2, label_smoothing / 2
        self.balance = BALANCE.get(head.nl, BALANCE_OTHERS)

    def __call__(
        self, raw: Sequence[torch.Tensor], targets: torch.Tensor, regions: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """raw: nl maps (B, na, H, W, 5+nc); targets (N, 6): image, class, cx, cy, w, h in 0..1, on raw's device.

        regions (M, 9): image and four corners x, y in 0..1 of the ignored regions, there too; None or (0, 9) = none.
        Where a cell's centre lies in one, its anchors that no object is assigned to have no objectness loss. The mean
        stays one over all cells, so that no other cell's gradient depends on the regions.

        -> total = B x (box + obj + cls), terms = (box, obj, cls) detached.
        """
        raw = [x if x.dtype == torch.float64 else x.float() for x in raw]
        box, objectness, classes = (raw[0].new_zeros(()) for _ in range(3))
        for level, x in enumerate(raw):
            positives = assign(targets.to(x.dtype), self.head.anchors[level].to(x.dtype), x.shape[2:4], self.anchor_t)
            found = x[positives.image, positives.anchor, positives.row, positives.column]
            iou = box_overlap(found, positives)
            if len(iou):
                box = box + (1 - iou).mean()
                classes = classes + self._class_term(found, positives)
            ignored = None if regions is None or not len(regions) else ignored_cells(regions, _cells(x))
            objectness = objectness + self._objectness_term(x, positives, iou, ignored) * self.balance[level]
        terms = torch.stack((box * self.box_gain, objectness * self.obj_gain, classes * self.cls_gain))
        return terms.sum() * raw[0].shape[0], terms.detach()

    def _class_term(self, found: torch.Tensor, positives: Positives) -> torch.Tensor:
        """Mean cross entropy of the positives' class scores; nothing to tell apart with one class."""
        if self.head.nc == 1:
            return found.new_zeros(())
        wanted = torch.full_like(found[:, 5:], self.negative)
        wanted.scatter_(1, positives.classes[:, None], self.positive)
        return self._cross_entropy(found[:, 5:], wanted, self.cls_weight)

    def _objectness_term(
        self, x: torch.Tensor, positives: Positives, iou: torch.Tensor, ignored: torch.Tensor | None
    ) -> torch.Tensor:
        """Mean cross entropy over all cells, of which the `ignored` (B, H, W) count 0 unless they are positives; a
        positive's target is how well its box overlaps now."""
        wanted, where = torch.zeros_like(x[..., 4]), tuple(positives[:4])
        wanted[where] = iou.detach().clamp(0)
        counts = None
        if ignored is not None:
            counts = (~ignored).to(x.dtype)[:, None].repeat(1, x.shape[1], 1, 1)
            counts[where] = 1
        return self._cross_entropy(x[..., 4], wanted, self.obj_weight, counts)

    def _cross_entropy(
        self, logits: torch.Tensor, wanted: torch.Tensor, weight: float, counts: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Mean over all elements, each times its 0 or 1 in `counts`."""
        pos_weight = None if weight == 1 else logits.new_tensor(weight)
        if self.gamma == 0:
            return functional.binary_cross_entropy_with_logits(logits, wanted, counts, pos_weight=pos_weight)
        loss = functional.binary_cross_entropy_with_logits(
            logits, wanted, counts, reduction="none", pos_weight=pos_weight
        )
        return (loss * focal_weight(logits.sigmoid(), wanted, self.gamma)).mean()


def _cells(x: torch.Tensor) -> tuple[int, int, int]:
    """(B, H, W) of a raw map (B, na, H, W, no)."""
    return x.shape[0], x.shape[2], x.shape[3]


def box_overlap(found: torch.Tensor, positives: Positives) -> torch.Tensor:
    """CIoU (n,) of the boxes that raw rows (n, 5+nc) stand for and the positives' own, in cells."""
    centre = found[:, :2].sigmoid() * 2 - 0.5
    size = (found[:, 2:4].sigmoid() * 2) ** 2 * positives.anchors
    return bbox_iou(torch.cat((centre, size), 1), positives.boxes, "ciou")


def focal_weight(score: torch.Tensor, wanted: torch.Tensor, gamma: float) -> torch.Tensor:
    """Weight of each cross-entropy term in the focal loss (arXiv 1708.02002), alpha 0.25, soft targets allowed."""
    right = wanted * score + (1 - wanted) * (1 - score)
    alpha = wanted * FOCAL_ALPHA + (1 - wanted) * (1 - FOCAL_ALPHA)
    return alpha * (1 - right) ** gamma
