from dataclasses import replace

import numpy as np
import pytest

from utils.detect_options import DetectOptions
from utils.errors import UserError
from utils.slicing import Slicing, cut_boxes, cut_out, plan_slices, read_slicing


@pytest.mark.parametrize(
    ("shape", "size", "overlap", "expected"),
    [
        ((1, 1), 32, 0.2, [(0, 0, 1, 1)]),
        ((480, 640), 640, 0.2, [(0, 0, 640, 480)]),  # no larger than a slice: one, the picture
        ((100, 641), 640, 0.2, [(0, 0, 640, 100), (1, 0, 641, 100)]),  # the last one is shifted inwards
        ((200, 100), 100, 0.0, [(0, 0, 100, 100), (0, 100, 100, 200)]),
        ((150, 100), 100, 0.25, [(0, 0, 100, 100), (0, 50, 100, 150)]),
        ((100, 250), 100, 0.25, [(0, 0, 100, 100), (75, 0, 175, 100), (150, 0, 250, 100)]),
    ],
)
def test_plans(shape, size, overlap, expected):
    assert plan_slices(shape, size, overlap) == expected


def test_a_plan_covers_every_pixel_with_slices_of_one_size():
    for shape in ((765, 1360), (1078, 1916), (6000, 8000), (33, 5000)):
        for size, overlap in ((640, 0.2), (500, 0.0), (32, 0.5)):
            slices = plan_slices(shape, size, overlap)
            assert len({(right - left, bottom - top) for left, top, right, bottom in slices}) == 1
            assert len(set(slices)) == len(slices)
            seen = [np.zeros(side, bool) for side in shape]
            for left, top, right, bottom in slices:
                assert 0 <= left < right <= shape[1] and 0 <= top < bottom <= shape[0]
                seen[0][top:bottom] = seen[1][left:right] = True
            assert seen[0].all() and seen[1].all()


def test_slices_are_views():
    image = np.zeros((100, 120, 3), np.uint8)
    view = cut_out(image, (10, 20, 42, 52))
    assert view.shape == (32, 32, 3) and np.shares_memory(view, image)


def test_which_boxes_are_cut():
    shape = (100, 300)
    assert cut_boxes(np.empty((0, 4)), (0, 0, 100, 100), shape).tolist() == []
    boxes = np.array([[0, 0, 50, 100], [50, 10, 98, 20], [50, 10, 95, 20], [200, 1, 210, 9]])
    assert cut_boxes(boxes, (0, 0, 100, 100), shape).tolist() == [False, True, False, True]  # picture edges cut nothing
    assert cut_boxes(boxes, (100, 0, 200, 100), shape).tolist() == [True, True, True, True]
    assert cut_boxes(np.array([[201, 5, 300, 100]]), (200, 0, 300, 100), shape).tolist() == [True]
    assert cut_boxes(np.array([[0, 30, 9, 60]]), (0, 20, 100, 63), shape).tolist() == [True]


def test_what_the_flags_ask_for():
    options = DetectOptions()
    assert read_slicing(options) is None
    assert read_slicing(replace(options, slice=640)) == Slicing(640, 0.2, "nms", "border", True)
    given = replace(options, slice=32, slice_overlap=0.0, slice_merge="wbf", slice_match="ios", no_full=True)
    assert read_slicing(given) == Slicing(32, 0.0, "wbf", "ios", False)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"slice": 31}, "--slice 31: give the side of a slice in pixels, 32 or more"),
        ({"slice": 0}, "--slice 0"),
        ({"slice": -640}, "--slice -640"),
        ({"slice": 640, "slice_overlap": 1.0}, "--slice-overlap 1: .* give for example 0.2"),
        ({"slice": 640, "slice_overlap": -0.1}, "--slice-overlap -0.1"),
        ({"slice_overlap": float("nan")}, "--slice-overlap nan"),
        ({"slice": 640, "slice_merge": "soft"}, "--slice-merge soft: is not known; give nms, nmm, wbf or none"),
        ({"slice": 640, "slice_match": "giou"}, "--slice-match giou"),
        ({"slice_overlap": 0.5}, "--slice-overlap: .* add for example --slice 640"),
        ({"slice_merge": "wbf"}, "--slice-merge: .* add for example --slice 640"),
        ({"slice_match": "iou"}, "--slice-match: .* add for example --slice 640"),
        ({"no_full": True}, "--no-full: .* add for example --slice 640"),
    ],
)
def test_impossible_wishes(values, words):
    with pytest.raises(UserError, match=words):
        read_slicing(DetectOptions(**values))
