"""Non-maximum suppression: a network's decoded candidates -> the objects of each picture."""

from collections.abc import Sequence

import torch
from torchvision.ops import nms

from utils.boxes import xywh_to_xyxy

MAX_CANDIDATES = 30000  # the most confident of one picture; the rest is not looked at
CLASS_OFFSET = 7680  # pixels between the classes' planes: boxes of different classes never overlap


def non_max_suppression(
    pred: torch.Tensor,
    conf_thres: float = 0.25,
    iou_thres: float = 0.45,
    classes: Sequence[int] | None = None,
    agnostic: bool = False,
    multi_label: bool = False,
    max_det: int = 300,
) -> list[torch.Tensor]:
    """Keep the best box of each object.

    pred (B, N, 5+nc): cx, cy, w, h in pixels, objectness, class scores, all scores in 0..1. A candidate needs an
    objectness above `conf_thres`, then a confidence = objectness x class score above it. classes: keep only these;
    agnostic: boxes of different classes suppress each other too; multi_label: a candidate counts once for every class
    above the threshold, not only for its best one.

    Returns per picture (n, 6) float32 rows x1, y1, x2, y2, confidence, class by falling confidence, n <= max_det, on
    the device of `pred`. Candidates that hold a NaN or an infinite corner are dropped. No time limit.
    """
    if not (0 <= conf_thres <= 1 and 0 <= iou_thres <= 1):
        raise ValueError(f"thresholds lie in 0..1; conf_thres {conf_thres} and iou_thres {iou_thres} were given")
    columns = pred.shape[2]
    allowed = _allowed_classes(classes, columns - 5, pred.device)
    likely = pred[..., 4] > conf_thres
    rows = pred[likely].float()  # one gather for the whole batch: few of the candidates are left
    pictures = rows.split(likely.sum(1).tolist())
    expanded = (_expand(candidates, conf_thres, allowed, multi_label and columns > 6) for candidates in pictures)
    return [_suppress(boxes, iou_thres, agnostic, max_det) for boxes in expanded]


def _allowed_classes(classes: Sequence[int] | None, nc: int, device: torch.device) -> torch.Tensor:
    if classes is None:
        return torch.ones(nc, dtype=torch.bool, device=device)
    wanted = torch.tensor([c for c in classes if 0 <= c < nc], dtype=torch.long)
    return torch.zeros(nc, dtype=torch.bool).index_fill_(0, wanted, True).to(device)


def _expand(rows: torch.Tensor, conf_thres: float, allowed: torch.Tensor, multi_label: bool) -> torch.Tensor:
    """(n, 5+nc) candidates of one picture -> the (m, 6) rows above the threshold, by falling confidence, at most
    MAX_CANDIDATES."""
    scores = rows[:, 5:] * rows[:, 4:5]
    corners = xywh_to_xyxy(rows[:, :4])
    finite = corners.isfinite().all(1)
    if multi_label:
        row, kind = ((scores > conf_thres) & allowed & finite[:, None]).nonzero(as_tuple=True)
        confidence = scores[row, kind]
    else:
        best, kind = scores.max(1)
        row = ((best > conf_thres) & allowed[kind] & finite).nonzero().squeeze(1)
        confidence, kind = best[row], kind[row]
    confidence, order = confidence.sort(descending=True, stable=True)
    confidence, order = confidence[:MAX_CANDIDATES], order[:MAX_CANDIDATES]
    return torch.cat((corners[row[order]], confidence[:, None], kind[order, None].float()), 1)


def _suppress(rows: torch.Tensor, iou_thres: float, agnostic: bool, max_det: int) -> torch.Tensor:
    """The first `max_det` survivors of rows sorted by falling confidence.

    What survives depends only on more confident rows, so a prefix that leaves enough survivors has the answer; the
    quadratic cost of the long tail (thousands of rows at threshold 0.001) is paid only where it is needed.
    """
    boxes = rows[:, :4] if agnostic else rows[:, :4] + rows[:, 5:6] * CLASS_OFFSET
    prefix = min(10 * max_det, len(rows))
    kept = nms(boxes[:prefix], rows[:prefix, 4], iou_thres)
    if len(kept) < max_det and prefix < len(rows):
        kept = nms(boxes, rows[:, 4], iou_thres)
    return rows[kept[:max_det]]
