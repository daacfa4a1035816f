from dataclasses import dataclass, field

import pytest

from utils.errors import UserError
from utils.plain import from_plain


@dataclass
class Thing:
    count: int = 1
    size: float = 0.5
    name: str | None = None
    on: bool = False
    layers: tuple[int, ...] = (0,)
    rows: list[list[float]] = field(default_factory=list)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"count": 2, "size": 3, "name": "x", "on": True, "layers": (1, 2), "rows": [[1.0, 2], []]},
        {"name": None, "rows": []},
    ],
)
def test_what_fits_is_taken_as_it_is(content):
    assert from_plain(Thing, content, "x.pt") == Thing(**content)


def test_lists_stand_for_tuples():
    assert from_plain(Thing, {"layers": [3, 4]}, "x.pt").layers == (3, 4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "x.pt: holds no mapping but None"),
        ([1], "x.pt: holds no mapping but \\[1\\]"),
        ({"cuont": 1}, "x.pt: unknown option 'cuont'"),
        ({"count": "2"}, "x.pt: count is '2', of another type"),
        ({"count": 2.0}, "count is 2.0"),
        ({"count": True}, "count is True"),
        ({"size": "small"}, "size is 'small'"),
        ({"on": 1}, "on is 1"),
        ({"name": 7}, "name is 7"),
        ({"layers": 3}, "layers is 3"),
        ({"layers": [1, "2"]}, r"layers is \[1, '2'\]"),
        ({"rows": [[1.0], ["a"]]}, "rows is"),
        ({"rows": ((1.0,),)}, "rows is"),
    ],
)
def test_what_was_changed_is_named(content, words):
    with pytest.raises(UserError, match=words):
        from_plain(Thing, content, "x.pt")
