"""How each class looks from above: one small drawing per class, two variants each, none with a colour of its own.

Measures are in units (a metre compressed to about metre ** 0.75, so that a pedestrian is not lost beside a bus);
x points forward.
"""

from functools import cache

import numpy as np

from data.prepare.demo_sprites import Brush, Sprite, grey, paint, trim

GLASS, TYRE, HAIR = grey(38), grey(28), grey(45)
PEDESTRIAN, PEOPLE, BICYCLE, CAR, VAN, TRUCK, TRICYCLE, AWNING_TRICYCLE, BUS, MOTOR, OTHERS = range(1, 12)
CLASSES = tuple(range(PEDESTRIAN, OTHERS))  # the ten that are scored
VARIANTS, OTHER_KINDS, TREES = 2, 3, 6  # of each of the ten; of 'others'; of canopies


def _rider(brush: Brush, x: float, tone: tuple = trim(235)) -> None:
    brush.bar((x + 0.1, -0.3), (x + 0.42, -0.3), 0.15, tone)
    brush.bar((x + 0.1, 0.3), (x + 0.42, 0.3), 0.15, tone)
    brush.disc(x, 0, (0.23, 0.42), tone)
    brush.disc(x + 0.05, 0, (0.21, 0.2), HAIR)


def _pedestrian(variant: int) -> Brush:
    brush = Brush(1.2, 1.2)
    stride = 0.46 if variant else 0.36
    brush.bar((0, -0.18), (stride, -0.18), 0.24, trim(170))
    brush.bar((0, 0.18), (-stride, 0.18), 0.24, trim(170))
    brush.disc(0, 0, (0.29, 0.54), paint(245))
    brush.disc(0.04, 0, (0.23, 0.23), HAIR)
    if variant:  # a bag at the side
        brush.box((-0.24, 0.18), (0.38, 0.6), trim(255))
    return brush


def _people(variant: int) -> Brush:
    brush = Brush(1.8, 1.1)
    spread = 0.3 if variant else 0.16
    for side in (-1, 1):  # legs stretched out in front: sitting (0) or lying (1)
        brush.bar((-0.1, side * 0.17), (0.72, side * spread), 0.23, trim(235))
        brush.disc(0.76, side * spread, (0.09, 0.12), TYRE)
    if variant:
        brush.bar((-0.3, -0.2), (-0.02, -0.5), 0.16, paint(215))
        brush.bar((-0.3, 0.2), (-0.02, 0.5), 0.16, paint(215))
        brush.disc(-0.2, 0, (0.42, 0.3), paint(245))
        brush.disc(-0.66, 0, (0.19, 0.19), HAIR)
    else:
        brush.disc(-0.38, 0, (0.3, 0.48), paint(245))
        brush.disc(-0.42, 0, (0.2, 0.2), HAIR)
    return brush


def _bicycle(variant: int) -> Brush:
    brush = Brush(1.8, 0.7)
    for x in (-0.5, 0.5):
        brush.bar((x - 0.36, 0), (x + 0.36, 0), 0.15, TYRE)
    brush.bar((-0.5, 0), (0.45, 0), 0.17, paint(255))
    brush.bar((0.36, -0.32), (0.36, 0.32), 0.12, paint(120, 40))
    brush.disc(-0.26, 0, (0.17, 0.13), grey(55))
    if variant:  # a basket before the handlebar
        brush.box((0.42, 0.72), (-0.17, 0.17), trim(190))
    return brush


def _motor(variant: int) -> Brush:
    brush = Brush(2.0, 1.1)
    brush.bar((0.4, 0), (0.98, 0), 0.2, TYRE)
    brush.bar((-0.98, 0), (-0.5, 0), 0.24, TYRE)
    brush.polygon([(-0.85, -0.22), (0.2, -0.27), (0.72, -0.12), (0.72, 0.12), (0.2, 0.27), (-0.85, 0.22)], paint(250))
    brush.bar((0.44, -0.46), (0.44, 0.46), 0.13, grey(60))
    _rider(brush, -0.05)
    if variant:  # a delivery box behind the rider
        brush.box((-0.98, -0.42), (-0.27, 0.27), paint(200, 30))
    return brush


def _tricycle(variant: int) -> Brush:
    brush = Brush(2.4, 1.4)
    brush.bar((0.6, 0), (1.12, 0), 0.22, TYRE)
    brush.polygon([(0.0, -0.3), (0.8, -0.13), (0.8, 0.13), (0.0, 0.3)], paint(210))
    brush.bar((0.6, -0.44), (0.6, 0.44), 0.12, grey(60))
    brush.box((-0.9, -0.4), (-0.64, 0.64), TYRE)
    brush.box((-1.12, 0.06), (-0.58, 0.58), paint(255))
    brush.box((-1.0, -0.06), (-0.45, 0.45), grey(40) if variant else paint(120))
    if variant:  # parcels in the open box
        brush.box((-0.95, -0.55), (-0.4, 0.05), trim(215))
        brush.box((-0.5, -0.15), (-0.1, 0.38), trim(160, 30))
    _rider(brush, 0.2)
    return brush


def _awning_tricycle(variant: int) -> Brush:
    brush = Brush(2.6, 1.5)
    brush.bar((0.7, 0), (1.24, 0), 0.24, TYRE)
    brush.bar((0.86, -0.42), (0.86, 0.42), 0.13, grey(60))
    nose = 0.98 if variant else 0.8
    edge = [(-1.15, 0.66), (-1.15, -0.66), (0.6, -0.66), (nose, -0.36), (nose, 0.36), (0.6, 0.66)]
    brush.polygon(edge, paint(235, 10))
    brush.box((-1.15, 0.62), (-0.66, -0.4), paint(150))
    brush.box((-1.15, 0.62), (0.4, 0.66), paint(150))
    for x in np.arange(-0.95, 0.6, 0.38):  # ribs of the canopy
        brush.bar((x, -0.66), (x, 0.66), 0.13, paint(85))
    brush.bar((-1.15, 0), (0.7, 0), 0.1, paint(190, 60))
    return brush


def _car(variant: int) -> Brush:
    brush = Brush(3.4, 1.9)
    rear = -1.15 if variant else -0.85  # hatchback or saloon: where the rear window sits
    for x in (-1.0, 1.0):
        brush.box((x - 0.3, x + 0.3), (-0.8, 0.8), TYRE)
    brush.bar((0.42, -0.9), (0.42, 0.9), 0.14, paint(170))
    brush.box((-1.62, 1.62), (-0.77, 0.77), paint(210), 0.26)
    brush.box((-1.5, 1.45), (-0.6, 0.6), paint(235, 15), 0.2)
    brush.box((rear - 0.35, 0.85), (-0.66, 0.66), GLASS, 0.2)
    brush.box((rear + 0.05, 0.3), (-0.56, 0.56), paint(240, 15), 0.1)
    for side in (-0.5, 0.5):
        brush.disc(1.52, side, (0.09, 0.15), grey(225))
    return brush


def _van(variant: int) -> Brush:
    brush = Brush(4.0, 2.1)
    brush.bar((1.2, -1.0), (1.2, 1.0), 0.14, paint(150))
    brush.box((-1.9, 1.9), (-0.87, 0.87), paint(205), 0.14)
    brush.polygon([(1.55, -0.74), (1.16, -0.8), (1.16, 0.8), (1.55, 0.74)], GLASS)
    brush.box((-1.82, 1.1), (-0.76, 0.76), paint(240, 15), 0.06)
    if variant:  # a roof rack
        for x in np.arange(-1.3, 0.8, 0.5):
            brush.bar((x, -0.7), (x, 0.7), 0.13, grey(70))
        for side in (-0.66, 0.66):
            brush.bar((-1.5, side), (0.8, side), 0.1, grey(70))
    else:  # pressed grooves along the roof
        for side in (-0.4, 0.0, 0.4):
            brush.bar((-1.6, side), (0.85, side), 0.11, paint(150))
    return brush


def _truck(variant: int) -> Brush:
    brush = Brush(5.4, 2.2)
    brush.box((-2.4, 2.3), (-0.5, 0.5), TYRE)
    brush.bar((2.2, -1.04), (2.2, 1.04), 0.15, grey(50))
    brush.box((1.45, 2.62), (-0.9, 0.9), paint(235, 10), 0.16)
    brush.box((2.12, 2.45), (-0.78, 0.78), GLASS, 0.06)
    brush.box((-2.62, 1.25), (-0.98, 0.98), trim(235))
    if variant:  # an open bed with a load
        brush.box((-2.45, 1.1), (-0.8, 0.8), grey(52))
        brush.disc(-1.4, 0.05, (0.75, 0.55), paint(130, 60))
        brush.disc(0.05, -0.05, (0.7, 0.6), paint(110, 75))
    else:  # a closed box with ribs
        for x in np.arange(-2.25, 1.2, 0.55):
            brush.bar((x, -0.98), (x, 0.98), 0.11, trim(150))
    return brush


def _bus(variant: int) -> Brush:
    brush = Brush(6.8, 2.5)
    brush.bar((3.2, -1.18), (3.2, 1.18), 0.14, grey(50))
    brush.box((-3.3, 3.3), (-1.04, 1.04), paint(185), 0.16)
    brush.box((2.9, 3.2), (-0.9, 0.9), GLASS, 0.08)
    brush.box((-3.18, 2.82), (-0.9, 0.9), paint(240, 15), 0.1)
    for side in (-0.78, 0.78):
        brush.bar((-3.1, side), (2.75, side), 0.1, trim(200))
    for x in (-1.9, 0.1, 2.1) if variant else (-0.9, 1.9):  # roof hatches
        brush.box((x - 0.28, x + 0.28), (-0.28, 0.28), grey(60))
        brush.box((x - 0.2, x + 0.2), (-0.2, 0.2), grey(200))
    for x in (-0.9, 1.1) if variant else (-2.3, 0.5):  # air conditioners
        brush.box((x - 0.5, x + 0.5), (-0.55, 0.55), grey(105), 0.08)
        brush.box((x - 0.4, x + 0.4), (-0.45, 0.45), grey(165), 0.08)
    return brush


def _digger(_: int) -> Brush:
    brush = Brush(4.6, 2.2)
    for side in (-0.75, 0.75):
        brush.box((-1.5, 0.9), (side - 0.25, side + 0.25), grey(35))
    brush.box((-1.75, 0.5), (-0.6, 0.6), paint(235), 0.2)
    brush.bar((0.2, 0.1), (1.9, 0.1), 0.3, paint(200))
    brush.box((1.75, 2.15), (-0.45, 0.6), grey(60), 0.06)
    brush.box((-0.4, 0.45), (-0.65, -0.05), GLASS, 0.06)
    return brush


def _boat_trailer(_: int) -> Brush:
    brush = Brush(4.6, 1.8)
    brush.bar((1.4, 0), (2.2, 0), 0.14, grey(60))
    brush.box((-0.8, -0.2), (-0.82, 0.82), TYRE)
    brush.polygon([(-1.9, -0.6), (0.4, -0.68), (1.75, 0), (0.4, 0.68), (-1.9, 0.6)], paint(240, 10))
    brush.polygon([(-1.7, -0.42), (0.3, -0.46), (1.15, 0), (0.3, 0.46), (-1.7, 0.42)], trim(150, 30))
    brush.bar((-0.9, -0.45), (-0.9, 0.45), 0.22, paint(230))
    return brush


def _wheelbarrow(_: int) -> Brush:
    brush = Brush(2.0, 1.3)
    brush.box((-0.3, 0.1), (-0.6, 0.6), TYRE)
    for side in (-0.35, 0.35):
        brush.bar((0.3, side), (0.95, side), 0.1, grey(80))
    brush.box((-0.8, 0.5), (-0.48, 0.48), trim(230))
    brush.disc(-0.15, 0, (0.45, 0.33), paint(180))
    return brush


def _other(variant: int) -> Brush:
    return (_digger, _boat_trailer, _wheelbarrow)[variant](variant)


_DRAWINGS = {  # category: drawing, height in units
    PEDESTRIAN: (_pedestrian, 0.9),
    PEOPLE: (_people, 0.35),
    BICYCLE: (_bicycle, 0.5),
    CAR: (_car, 0.8),
    VAN: (_van, 1.15),
    TRUCK: (_truck, 1.6),
    TRICYCLE: (_tricycle, 0.7),
    AWNING_TRICYCLE: (_awning_tricycle, 1.1),
    BUS: (_bus, 1.7),
    MOTOR: (_motor, 0.75),
    OTHERS: (_other, 0.9),
}


@cache
def sprite(category: int, variant: int = 0) -> Sprite:
    """The sprite of VisDrone category 1..11; variant 0 or 1 (0..2 for 'others')."""
    drawing, height = _DRAWINGS[category]
    return Sprite.from_canvas(drawing(variant).canvas, height)


@cache
def tree(variant: int) -> Sprite:
    """A canopy of radius 1, lit from +x: turn it to the sun. Every variant 0..5 has its own leaves."""
    rng = np.random.default_rng([20, variant])
    brush = Brush(2.4, 2.4)
    leaf = 0.2 + 0.05 * (variant % 3)
    brush.disc(0, 0, (0.8, 0.8), paint(95))
    spots = rng.normal(0, 0.42, (90, 2))
    spots = spots[np.hypot(*spots.T) < 0.85]
    for x, y in spots[np.argsort(spots[:, 0] + rng.normal(0, 0.3, len(spots)))]:
        brush.disc(x, y, (leaf, leaf), paint(int(np.clip(135 + 80 * x + rng.normal(0, 22), 60, 235))))
    return Sprite.from_canvas(brush.canvas, 1.4)
