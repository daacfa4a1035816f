"""Layers inserted into the text of a model YAML: everything that does not have to change stays as it was written.

The YAML parser says where each row and each `from` number stands; the text is edited there, never dumped anew.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import yaml

# what follows a row on its line: comma and closing brackets, blanks, comment
TAIL = re.compile(r"(?P<after>[^#]*?)(?P<gap>[ \t]*)(?P<comment>#.*?)?(?P<ending>\s*)", re.DOTALL)
# a layer's number at the start of its comment: '17', '0-P1/2', '17 (P3/8-small)'
NUMBER = re.compile(r"(?P<number>\d+)(?=$|-P|\s*\(P|(?P<words>\s))")
Edit = tuple[int, int, str]  # the text between two offsets, and what replaces it


@dataclass(frozen=True)
class Numbers:
    """How layers are renumbered when one is inserted after each of `chosen` (numbers of the old list)."""

    chosen: tuple[int, ...]

    def place(self, layer: int) -> int:
        """The new number of an old layer."""
        return layer + bisect_left(self.chosen, layer)

    def output(self, layer: int) -> int:
        """The new layer that gives what the old one gave: itself, or the one inserted after it. -1 is the picture."""
        return layer + bisect_right(self.chosen, layer)

    def source(self, reader: int, source: int) -> int:
        """The new `from` of old layer `reader` for its old one; what counted backwards still does."""
        if source >= 0:
            return self.output(source)
        return self.output(reader + source) - self.place(reader)


@dataclass(frozen=True)
class Row:
    """Where a layer stands in the text; offsets in characters."""

    start: int
    end: int
    sources: tuple[tuple[int, int, int], ...]  # start, end, value of each number of its `from`
    in_brackets: bool  # the list it belongs to is [..., ...], not lines with dashes


def insert_rows(text: str, rows: Mapping[int, str]) -> str:
    """Insert each of `rows` ('[-1, 1, EMA, [512]]') after the layer of its number and renumber the rest.

    Every `from` follows, so that readers of a chosen layer read the inserted one, and every comment of a layer starts
    with the layer's number. Layers that share a line with others keep their comment. The text must be that of a model
    YAML that `read_config` takes.
    """
    layers, numbers = find_rows(text), Numbers(tuple(sorted(rows)))
    gap = _usual_gap(text, layers)
    edits: list[Edit] = []
    for index, row in enumerate(layers):
        for start, end, source in row.sources:
            edits.append((start, end, str(numbers.source(index, source))))
        if _shares_line(text, layers, index):
            if index in rows:
                edits.append((row.end, row.end, f", {rows[index]}"))
        else:
            edits.append(_edit_line_end(text, row, index, numbers.place(index), rows.get(index), gap))
    return _apply(text, edits)


def find_rows(text: str) -> list[Row]:
    """The layers of backbone and head, in order."""
    sections = {key.value: node for key, node in yaml.compose(text, Loader=yaml.SafeLoader).value}
    parts = sections["backbone"], sections["head"]
    return [_row(node, bool(part.flow_style)) for part in parts for node in part.value]


def numbered(comment: str, old: int, new: int) -> str:
    """A layer's comment (without #) under its new number; one without a number gets it.

    '17 (P3/8-small)' -> '18 (P3/8-small)', 'cat backbone P4' -> '12 cat backbone P4'. A number that is not `old` is
    taken for a stale one before a level, and for a word of the comment elsewhere.
    """
    comment = comment.strip()
    match = NUMBER.match(comment)
    if match and (int(match["number"]) == old or not match["words"]):
        return f"{new}{comment[match.end() :]}"
    return f"{new} {comment}".rstrip()


def _row(node: yaml.SequenceNode, in_brackets: bool) -> Row:
    first = node.value[0]
    sources = first.value if isinstance(first, yaml.SequenceNode) else [first]
    places = tuple((item.start_mark.index, item.end_mark.index, int(item.value)) for item in sources)
    return Row(node.start_mark.index, _end(node), places, in_brackets)


def _end(node: yaml.Node) -> int:
    """The offset after a node's last character; the parser ends lists with dashes only where the next thing starts."""
    if isinstance(node, yaml.SequenceNode) and not node.flow_style:
        return _end(node.value[-1])
    return node.end_mark.index


def _edit_line_end(text: str, row: Row, index: int, number: int, inserted: str | None, gap: str) -> Edit:
    """Renumber the comment behind a row and put the inserted row on a line of its own below."""
    stop = _line_end(text, row.end)
    tail = TAIL.fullmatch(text, row.end, stop)
    gap = tail["gap"] if tail["comment"] else gap
    comment = f"{gap}# {numbered((tail['comment'] or '').lstrip('#'), index, number)}"
    after, ending = tail["after"], tail["ending"]
    if inserted is None:
        return row.end, stop, f"{after}{comment}{ending}"
    line_start = text.rfind("\n", 0, row.start) + 1
    if row.in_brackets:
        comma, margin = ",", " " * (row.start - line_start)
    else:
        comma, margin = after, text[line_start : row.start]
    newline = "\r\n" if "\r\n" in text else "\n"
    return row.end, stop, f"{comma}{comment}{newline}{margin}{inserted}{after}{gap}# {number + 1}{ending}"


def _shares_line(text: str, layers: list[Row], index: int) -> bool:
    """Whether another layer stands on the line on which this one ends."""
    row = layers[index]
    before = index > 0 and layers[index - 1].end > text.rfind("\n", 0, row.start)
    return before or (index + 1 < len(layers) and layers[index + 1].start < _line_end(text, row.end))


def _line_end(text: str, offset: int) -> int:
    end = text.find("\n", offset)
    return len(text) if end < 0 else end


def _usual_gap(text: str, layers: list[Row]) -> str:
    """The blanks before a comment, as the first commented layer has them."""
    tails = (TAIL.fullmatch(text, row.end, _line_end(text, row.end)) for row in layers)
    return next((tail["gap"] for tail in tails if tail and tail["comment"] and tail["gap"]), "  ")


def _apply(text: str, edits: Collection[Edit]) -> str:
    for start, end, replacement in sorted(edits, reverse=True):
        text = text[:start] + replacement + text[end:]
    return text
