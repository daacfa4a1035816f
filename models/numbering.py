"""Stock YOLOv5's layer numbers in a model that attention was inserted into."""

from collections.abc import Mapping
from typing import Any

from models.registry import find_block, same


def stock_numbers(yaml: Mapping[str, Any]) -> list[int | None]:
    """For each layer of a model YAML the number it has without the inserted ones; None for those.

    Inserted are the attention blocks: the words under the rule *same*, which no stock YAML has.
    """
    numbers: list[int | None] = []
    count = 0
    for _, _, word, _ in (*yaml["backbone"], *yaml["head"]):
        inserted = find_block(word).rule is same
        numbers.append(None if inserted else count)
        count += not inserted
    return numbers
