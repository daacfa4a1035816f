"""The text of a model YAML is edited, not written anew."""

import pytest
import yaml

from tests.tools.model_texts import CROWDED, DASHES, PLAIN, TEXTS, TINY
from tools.model_text import Numbers, find_rows, insert_rows, numbered

ROW = "[-1, 1, nn.Identity, []]"


def layers_of(text):
    content = yaml.safe_load(text)
    return [*content["backbone"], *content["head"]]


def sources_of(layers):
    """Absolute numbers of what each layer reads."""
    lists = [source if isinstance(source, list) else [source] for source, *_ in layers]
    return [[i + source if source < 0 else source for source in sources] for i, sources in enumerate(lists)]


def contracted(layers):
    """The list without the identities: (sources among those that stay, rest) of each, and which are followed by one."""
    stays, followed = {-1: -1}, set()
    for i, (_, _, word, _) in enumerate(layers):
        if word == "nn.Identity":
            stays[i] = stays[i - 1]
            followed.add(stays[i])
        else:
            stays[i] = len({value for value in stays.values() if value >= 0})
    sources = sources_of(layers)
    kept = [i for i, layer in enumerate(layers) if layer[2] != "nn.Identity"]
    return [([stays[s] for s in sources[i]], layers[i][1:]) for i in kept], followed


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("pick", ["none", "first", "even", "odd", "all"])
def test_every_reader_reads_what_it_read(name, pick):
    before = layers_of(TEXTS[name])
    last = len(before) - 1
    everywhere = range(last)
    chosen = {"none": [], "first": [0], "even": everywhere[::2], "odd": everywhere[1::2], "all": everywhere}[pick]
    after = layers_of(insert_rows(TEXTS[name], dict.fromkeys(chosen, ROW)))
    wanted = [(sources, layer[1:]) for sources, layer in zip(sources_of(before), before)]
    assert contracted(after) == (wanted, set(chosen))
    followed = [i for i in range(len(after) - 1) if after[i + 1][2] == "nn.Identity"]
    for layer, sources in zip(after, sources_of(after)):
        assert layer[2] == "nn.Identity" or not set(sources) & set(followed)  # all read the inserted layer instead


@pytest.mark.parametrize("name", ["plain", "tiny", "bottlenecks", "three ways"])
def test_every_comment_starts_with_the_layers_number(name):
    text = insert_rows(TEXTS[name], {2: ROW, 4: ROW})
    rows = [line for line in text.splitlines() if line.lstrip().startswith("[") and "," in line]
    comments = [row.partition("#")[2].split() for row in rows]
    assert [int(words[0].partition("-")[0]) for words in comments] == list(range(len(layers_of(text))))


def test_nothing_chosen_changes_comments_only():
    def bare(text):
        return [line.partition("#")[0].rstrip() for line in text.splitlines()]

    assert all(bare(insert_rows(text, {})) == bare(text) for text in TEXTS.values())
    assert insert_rows(insert_rows(PLAIN, {}), {}) == insert_rows(PLAIN, {})


def test_stock_formatting_is_kept():
    assert insert_rows(PLAIN, {2: "[-1, 1, EMA, [128]]", 5: "[-1, 1, EMA, [256]]"}).endswith(
        """
# YOLOv5 v6.0 backbone
backbone:
  # [from, number, module, args]
  [[-1, 1, Conv, [64, 6, 2, 2]],  # 0-P1/2
   [-1, 1, Conv, [128, 3, 2]],  # 1-P2/4
   [-1, 3, C3, [128]],  # 2
   [-1, 1, EMA, [128]],  # 3
   [-1, 1, Conv, [256, 3, 2]],  # 4-P3/8
   [-1, 6, C3, [256]],  # 5
   [-1, 1, SPPF, [256, 5]],  # 6
   [-1, 1, EMA, [256]],  # 7
  ]

head:
  [[-1, 1, Conv, [128, 1, 1]],  # 8
   [-1, 1, nn.Upsample, [None, 2, 'nearest']],  # 9
   [[-1, 3], 1, Concat, [1]],  # 10 cat backbone P2
   [-1, 3, C3, [128, False]],  # 11 (P2/4-small)

   [-1, 1, Conv, [128, 3, 2]],  # 12
   [[-1, 8], 1, Concat, [1]],  # 13 cat head P3
   [-1, 3, C3, [256, False]],  # 14 (P3/8-large)

   [[11, 14], 1, Detect, [nc, anchors]],  # 15 Detect(P2, P3)
  ]
"""
    )


def test_numbers_that_count_back_still_do():
    text = insert_rows(TINY, {9: ROW, 10: ROW})
    assert "   [-3, 1, Conv, [64, 1, 1]],  # 13\n" in text  # over one inserted layer, to another
    assert "   [[17, 12], 1, Detect, [nc, anchors]],  # 18 Detect(P2, P3)\n" not in text
    assert "   [[16, 12], 1, Detect, [nc, anchors]],  # 17 Detect(P2, P3)\n" in text
    assert "   [-2, 1, Conv, [64, 1, 1]],  # 12\n" in insert_rows(TINY, {8: ROW})


def test_windows_line_ends_stay():
    text = insert_rows(PLAIN.replace("\n", "\r\n"), {2: ROW})
    assert text == insert_rows(PLAIN, {2: ROW}).replace("\n", "\r\n")


def test_lists_with_dashes_and_full_lines():
    dashes, crowded = insert_rows(DASHES, {2: ROW, 3: ROW, 5: ROW}), insert_rows(CROWDED, {0: ROW, 4: ROW, 5: ROW})
    assert "  - [-1, 3, C3, [128]]  # 2\n  - [-1, 1, nn.Identity, []]  # 3\n  - - -1\n" in dashes
    assert f"  - [256, False]  # 7\n- {ROW}  # 8\n- - [3, 8]\n" in dashes
    assert f"backbone: [[-1, 1, Conv, [64, 3, 2]], {ROW}, [-1, 1, Conv, [128, 3, 2]], # the stem\n" in crowded
    assert f"   3, C3, [256]], # 5\n  {ROW} # 6\n  ]\n" in crowded
    assert f"   False]], {ROW}, [[3, 8], 1, Detect, [nc, anchors]]]\n" in crowded


def test_rows_are_found_with_their_sources():
    rows = find_rows(TINY)
    assert TINY[rows[11].start : rows[11].end] == "[-2, 1, Conv, [64, 1, 1]]"
    assert [value for _, _, value in rows[13].sources] == [-1, 4]
    assert all(TINY[start:end] == str(value) for row in rows for start, end, value in row.sources)


@pytest.mark.parametrize(
    "comment, expected",
    [
        ("", "8"),
        ("7", "8"),
        (" 7-P4/16", "8-P4/16"),
        ("7 (P3/8-small)", "8 (P3/8-small)"),
        ("3 (P3/8-small)", "8 (P3/8-small)"),  # a stale number
        ("5-P4/16", "8-P4/16"),
        ("7 cat backbone P4", "8 cat backbone P4"),
        ("cat backbone P4", "8 cat backbone P4"),
        ("3 maps", "8 3 maps"),
        ("2x", "8 2x"),
        ("Detect(P3, P4)", "8 Detect(P3, P4)"),
    ],
)
def test_numbers_of_comments(comment, expected):
    assert numbered(comment, 7, 8) == expected


def test_numbers():
    numbers = Numbers((1, 3))
    assert [numbers.place(layer) for layer in range(6)] == [0, 1, 3, 4, 6, 7]
    assert [numbers.output(layer) for layer in range(-1, 6)] == [-1, 0, 2, 3, 5, 6, 7]
    assert [numbers.source(4, source) for source in (-1, -2, -3, -5, 0, 3)] == [-1, -3, -4, -7, 0, 5]
    assert Numbers(()).source(9, -4) == -4
