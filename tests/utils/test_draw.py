import numpy as np
import pytest

from utils.draw import ascii_text, colour, contrast, draw_boxes, draw_label


def grey(height=200, width=300):
    return np.full((height, width, 3), 90, np.uint8)


def test_no_boxes_leave_the_picture_alone():
    image = grey()
    assert draw_boxes(image, np.empty((0, 4)), [], []) is image
    assert (image == 90).all()


def test_a_box_is_drawn_in_place_in_its_class_colour():
    image = grey()
    draw_boxes(image, np.array([[50.2, 60, 150, 120]]), [], [3], thickness=1)
    assert tuple(image[90, 50]) == tuple(image[60, 100]) == tuple(image[120, 100]) == colour(3)
    assert (image[90, 100] == 90).all() and (image[40:56] == 90).all()  # neither inside nor where a label would be


def test_a_label_is_a_filled_plate_above_the_box():
    image = grey()
    draw_boxes(image, np.array([[50, 100, 150, 160]]), ["car 0.87"], [1])
    plate = image[84:97, 50:90].reshape(-1, 3)
    assert (plate == colour(1)).all(1).mean() > 0.3
    assert (np.abs(plate.astype(int) - contrast(colour(1))).max(1) < 90).any()  # smoothed letters


@pytest.mark.parametrize("box", [[0, 0, 30, 30], [280, 0, 299, 20], [-50, 190, 400, 260], [290, 195, 298, 199]])
def test_a_label_stays_inside(box):
    """Drawn in the middle of a larger picture nothing falls outside the window that the label was told of."""
    image = grey()
    draw_label(image, "awning-tricycle", (box[0], box[1]), colour(2))
    rows, columns = np.nonzero((image == colour(2)).all(2))
    assert columns.max() - columns.min() > 60 and rows.max() - rows.min() > 8


@pytest.mark.parametrize("shape", [(1, 1), (8, 5), (20, 2000), (3000, 40)])
def test_tiny_and_thin_pictures(shape):
    image = draw_boxes(grey(*shape), np.array([[0, 0, shape[1], shape[0]]]), ["pedestrian 0.5"], [0])
    assert image.shape[:2] == shape and (image != 90).any()


def test_wild_coordinates_are_survived():
    image = grey()
    shape = image.shape
    assert draw_boxes(image, np.array([[-1e12, np.nan, np.inf, 1e12]]), ["x"], [0]) is image
    assert image.shape == shape and image.dtype == np.uint8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("café Größe", "cafe Grosse"),
        ("Łódź", "Lodz"),
        ("車 car", "? car"),
        ("a\tb\n", "a?b?"),
        ("~ z", "~ z"),
    ],
)
def test_text_becomes_ascii(text, expected):
    assert ascii_text(text) == expected


def test_colours_differ():
    colours = [colour(i) for i in range(20)]
    distance = [sum(abs(x - y) for x, y in zip(a, b)) for i, a in enumerate(colours) for b in colours[:i]]
    assert min(distance) > 25 and all(0 <= x <= 255 for c in colours for x in c)
    assert contrast((0, 255, 255)) == (0, 0, 0) and contrast((200, 0, 0)) == (255, 255, 255)
