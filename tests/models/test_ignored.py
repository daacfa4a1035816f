import numpy as np
import pytest
import torch

from models.ignored import ignored_cells

RECTANGLE = [0.25, 0.25, 0.75, 0.25, 0.75, 0.5, 0.25, 0.5]


def rows(*polygons, image=0):
    return torch.tensor([[image, *polygon] for polygon in polygons], dtype=torch.float32).reshape(-1, 9)


def quadrangles(count, seed=0, reach=(-0.4, 1.4)):
    """Convex ones: four points in order around an ellipse, going either way."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, (count, 4)), 1)[:, :: rng.choice((-1, 1))]
    centre, radius = rng.uniform(*reach, (count, 1, 2)), rng.uniform(0.05, 0.6, (count, 1, 2))
    corners = np.stack((np.cos(angles), np.sin(angles)), -1) * radius + centre
    return torch.from_numpy(np.column_stack((rng.integers(0, 3, count), corners.reshape(-1, 8)))).float()


def by_half_planes(regions, shape):
    """The definition: a centre is inside where it lies on one side of all four edges."""
    batch, height, width = shape
    y, x = np.mgrid[:height, :width] + 0.5
    found = np.zeros(shape, bool)
    for number, *corners in regions.double().numpy():
        corners = np.array(corners).reshape(4, 2) * (width, height)
        sides = [
            (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]) for a, b in zip(corners, np.roll(corners, -1, 0))
        ]
        found[int(number)] |= np.all(np.array(sides) >= 0, 0) | np.all(np.array(sides) <= 0, 0)
    return found


def test_no_regions():
    assert not ignored_cells(torch.zeros(0, 9), (2, 4, 4)).any()


def test_a_rectangle_by_hand():
    found = ignored_cells(rows(RECTANGLE, image=1), (2, 4, 8))
    assert not found[0].any() and found.dtype == torch.bool
    assert found[1].int().tolist() == [[0] * 8, [0, 0, 1, 1, 1, 1, 0, 0], [0] * 8, [0] * 8]


def test_centres_on_the_edge_are_inside():
    found = ignored_cells(rows([0.125, 0.125, 0.375, 0.125, 0.375, 0.625, 0.125, 0.625]), (1, 4, 4))
    assert found[0].int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [0] * 4]


def test_a_triangle_and_a_region_smaller_than_a_cell():
    found = ignored_cells(rows([0, 0, 1, 0, 0, 1, 0, 1], [0.9, 0.9, 0.95, 0.9, 0.95, 0.95, 0.9, 0.95]), (1, 4, 4))
    assert found[0].int().tolist() == [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]]


def test_the_whole_picture_and_beyond():
    for polygon in ([0, 0, 1, 0, 1, 1, 0, 1], [-9, -9, 9, -9, 9, 9, -9, 9]):
        assert ignored_cells(rows(polygon), (1, 7, 5)).all()
    outside = [[x / 10, y / 10, x / 10 + 0.5, y / 10, x / 10 + 0.5, y / 10 + 0.5, x / 10, y / 10 + 0.5]
               for x, y in ((-20, 0), (20, 0), (0, -20), (0, 20))]  # fmt: skip
    assert not ignored_cells(rows(*outside), (1, 7, 5)).any()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [(20, 20), (40, 28), (1, 3)])
def test_turned_regions_equal_the_definition(seed, size):
    regions = quadrangles(6, seed)
    found = ignored_cells(regions, (3, *size)).numpy()
    np.testing.assert_array_equal(found, by_half_planes(regions, (3, *size)))
    assert size == (1, 3) or found.any()


def test_overlapping_regions_are_their_union():
    regions = torch.cat((rows(RECTANGLE), rows(RECTANGLE), quadrangles(40, 3)))
    np.testing.assert_array_equal(ignored_cells(regions, (3, 24, 24)).numpy(), by_half_planes(regions, (3, 24, 24)))


def test_the_order_of_corners_does_not_matter():
    regions = quadrangles(5, 1)
    turned = regions.clone()
    turned[:, 1:] = regions[:, 1:].view(-1, 4, 2).flip(1).roll(1, 1).flatten(1)
    assert torch.equal(ignored_cells(regions, (3, 30, 30)), ignored_cells(turned, (3, 30, 30)))
