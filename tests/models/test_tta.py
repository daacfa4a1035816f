"""Test-time augmentation puts every pass's boxes where the plain pass has them, for any set of levels."""

import math

import pytest
import torch

from models import build_model
from models.tta import MIRRORED, SCALES, predict_augmented
from tests.slice_fakes import lively_network

MODELS = pytest.mark.parametrize("name", ["yolov5n-p2.yaml", "yolov5n.yaml", "yolov5n6.yaml"])
BOX = (70, 90, 110, 150)  # of the painted object


class MadeUpHead:
    """In place of a network's layers: every level finds the one bright rectangle of the picture, wherever it is, by
    writing the raw numbers that decode to it."""

    def __init__(self, model):
        self.head, self.strides, self.max_stride = model.head, model.strides, model.max_stride
        self.sizes = []

    def __call__(self, images):
        self.sizes.append(tuple(images.shape[2:]))
        assert all(side % self.max_stride == 0 for side in images.shape[2:])
        image = images[0, 0]
        y, x = (image > 0.7).nonzero(as_tuple=True)  # grey padding is darker
        centre = (x.min() + x.max() + 1) / 2, (y.min() + y.max() + 1) / 2
        size = torch.stack((x.max() + 1 - x.min(), y.max() + 1 - y.min()))
        return [self._raw(level, image.shape, centre, size) for level in range(len(self.strides))]

    def _raw(self, level, shape, centre, size):
        stride, head = self.strides[level], self.head
        raw = torch.full((1, head.na, shape[0] // stride, shape[1] // stride, head.no), -20.0)
        column, row = (int(value // stride) for value in centre)
        for anchor in range(head.na):
            anchors = head.anchors[level, anchor] * stride
            x, y = ((value / stride - at + 0.5) / 2 for value, at in zip(centre, (column, row)))
            shares = torch.cat((torch.stack((x, y)), (size / anchors).sqrt() / 2))
            raw[0, anchor, row, column, :4] = shares.clamp(1e-4, 1 - 1e-4).logit()
            raw[0, anchor, row, column, 4:6] = 20.0
        return raw


def bright(height, width):
    image = torch.zeros(1, 3, height, width)
    image[:, :, BOX[1] : BOX[3], BOX[0] : BOX[2]] = 1
    return image


@MODELS
@pytest.mark.parametrize("shape", [(256, 320), (192, 192), (320, 576)])
def test_every_pass_finds_the_object_where_it_is(name, shape):
    model = build_model(name, nc=2).eval()
    areas = torch.tensor([60.0, 80.0]).view(1, 1, 2).expand_as(model.head.anchors)
    model.head.anchors.copy_(areas / torch.tensor(model.strides).view(-1, 1, 1))  # anchors that fit it at any size
    fake = MadeUpHead(model)
    (boxes,) = predict_augmented(fake, bright(*shape))
    expected = torch.tensor([(BOX[0] + BOX[2]) / 2, (BOX[1] + BOX[3]) / 2, BOX[2] - BOX[0], BOX[3] - BOX[1]])
    found = boxes[boxes[:, 4] > 0.5]
    assert len(found) == (len(model.strides) * 3 - 2) * model.head.na  # two passes leave a level out
    assert (found[:, :2] - expected[:2]).abs().max() < 1.5
    assert (found[:, 2:4] - expected[2:]).abs().max() < 3  # a resized edge moves by up to a pixel on either side
    (plain,) = model.head.decode(fake(bright(*shape)))
    assert (plain[plain[:, 4] > 0.5][:, :4] - expected).abs().max() < 0.05
    whole = [math.ceil(side * SCALES[1] / model.max_stride) * model.max_stride for side in shape]
    assert fake.sizes[:2] == [shape, tuple(whole)]


@MODELS
def test_which_levels_are_looked_at(name):
    """The full-size pass is without the coarsest level, the smallest without the finest, by stride and not by count."""
    model = lively_network(name)
    images = torch.rand(1, 3, 128, 192)
    with torch.no_grad():
        boxes = model.predict(images, augment=True)
        first = model.head.decode(model(images), levels=range(model.head.nl - 1))
    cells = [[math.ceil(side * scale / model.max_stride) * model.max_stride for side in (128, 192)] for scale in SCALES]
    counts = [[model.head.na * h * w // stride**2 for stride in model.strides] for h, w in cells]
    assert boxes.shape == (1, sum(counts[0][:-1]) + sum(counts[1]) + sum(counts[2][1:]), model.head.no)
    torch.testing.assert_close(boxes[:, : first.shape[1]], first)
    assert MIRRORED == (False, True, False)


@MODELS
def test_a_picture_and_its_mirror_image(name):
    """What is found in one lies where it is found in the other, mirrored."""
    model = build_model(name, nc=2).eval()
    fake = MadeUpHead(model)
    (boxes,) = predict_augmented(fake, bright(256, 320))
    (mirrored,) = predict_augmented(fake, bright(256, 320).flip(3))
    a, b = (rows[rows[:, 4] > 0.5] for rows in (boxes, mirrored))
    assert len(a) == len(b) > 0 and (a[:, 0] + b[:, 0] - 320).abs().max() < 2
