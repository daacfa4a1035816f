"""The figures of `tools.dataset` in words: report.md, and the essentials for the screen."""

from collections.abc import Sequence

from tools.dataset_advice import share
from tools.dataset_facts import Facts

LISTED = 20  # cases of each fault that report.md names; report.json has all


def essentials(facts: Facts) -> str:
    """What the command prints."""
    lines = [f"{facts['title']}: {_counts(facts)}"]
    lines += ["classes: " + ", ".join(f"{name} {count:,}" for name, count in facts["classes"].items())]
    if facts["raw_rows"]:
        total = sum(facts["raw_rows"].values())
        rows = ", ".join(f"{name} {count:,}" for name, count in facts["raw_rows"].items())
        lines += [f"raw rows: {total:,}: {rows}"]
    lines += [f"{_place(at)}: {_sizes(at, facts)}; {_fit(at, facts)}" for at in facts["at"]]
    lines += [f"crowding: {_crowding(facts)}"]
    if facts["ignored"]["regions"]:
        lines += [f"ignored: {_ignored(facts)}"]
    lines += [f"{len(places):,} {kind}, such as {places[0]}" for kind, places in facts["faults"].items()]
    lines += [facts["left_out"]] if facts["left_out"] else []
    return "\n".join([*lines, *facts["advice"]])


def markdown(facts: Facts, pictures: Sequence[str]) -> str:
    """report.md."""
    parts = [f"# {facts['title']}", f"{_counts(facts)}.".capitalize()]
    parts += [f"Note: {facts['left_out']}."] if facts["left_out"] else []
    if facts["advice"]:
        parts += ["## Advice", "\n".join(f"- {sentence}" for sentence in facts["advice"])]
    parts += ["## Classes", _table(("class", "objects", "share"), _class_rows(facts))]
    if facts["raw_rows"]:
        rows = [(name, f"{count:,}") for name, count in facts["raw_rows"].items()]
        parts += [_table(("raw rows of category", "rows"), [*rows, ("all", f"{sum(facts['raw_rows'].values()):,}")])]
    parts += ["## Sizes", "The size of an object is the square root of its area, in pixels.", _size_table(facts)]
    for at in facts["at"]:
        parts += [f"## Levels of {facts['model']}, {_place(at)}", _level_table(at, facts), f"{_fit(at, facts)}."]
    parts += ["## Crowding", f"{_crowding(facts)}.".capitalize()]
    parts += ["## Ignored regions", f"{_ignored(facts)}.".capitalize()]
    parts += ["## Label faults", *([_faults(facts)] if facts["faults"] else ["None."])]
    parts += [f"![{name}]({name})" for name in pictures]
    return "\n\n".join(parts) + "\n"


def _counts(facts: Facts) -> str:
    per = facts["per_image"]
    crowd = f"{per['mean']:.1f} per image, {per['most']} at most, {per['without']:,} images without any"
    return f"{facts['images']:,} images, {facts['objects']:,} objects ({crowd})"


def _place(at: Facts) -> str:
    return f"at {at['image_size']}" if at["image_size"] else "at the original size"


def _sizes(at: Facts, facts: Facts) -> str:
    under = ", ".join(f"{share(count, facts)} under {limit}" for limit, count in at["under"].items())
    return f"{under} pixels, median {at['percentiles']['50']:.1f}"


def _fit(at: Facts, facts: Facts) -> str:
    recall = f"best possible recall {at['best_possible_recall']:.4f}, {at['anchors_per_object']:.2f} anchors per object"
    return f"{facts['model']}: {recall}"


def _crowding(facts: Facts) -> str:
    pairs = [
        f"{row['pairs']:,} pairs of boxes overlap by more than {row['iou']} ({row['of_one_class']:,} of one class)"
        for row in facts["overlapping_pairs"]
    ]
    cells = [
        f"{_place(at)} "
        + ", ".join(f"{share(count, facts)} / {stride}" for stride, count in at["in_shared_cells"].items())
        for at in facts["at"]
    ]
    return "; ".join(
        [*pairs, "objects that share their cell with another centre / pixels of the cell: " + "; ".join(cells)]
    )


def _ignored(facts: Facts) -> str:
    ignored = facts["ignored"]
    part = "" if ignored["share"] is None else f", {100 * ignored['share']:.2f} % of all pixels"
    return f"{ignored['regions']:,} regions in {ignored['images']:,} images, {ignored['pixels']:,} pixels{part}"


def _class_rows(facts: Facts) -> list[tuple[str, str, str]]:
    return [(name, f"{count:,}", share(count, facts)) for name, count in facts["classes"].items()]


def _size_table(facts: Facts) -> str:
    shown = [at for at in facts["at"] if at["image_size"]]
    columns = [("original", facts["original"]), *((str(at["image_size"]), at) for at in shown)]
    rows = [
        (f"under {limit}", *(f"{at['under'][limit]:,} ({share(at['under'][limit], facts)})" for _, at in columns))
        for limit in facts["original"]["under"]
    ]
    rows += [
        (f"{quantile} % are smaller than", *(f"{at['percentiles'][quantile]:.1f}" for _, at in columns))
        for quantile in facts["original"]["percentiles"]
    ]
    return _table(("image size", *(name for name, _ in columns)), rows)


def _level_table(at: Facts, facts: Facts) -> str:
    rows = [
        (
            str(level["stride"]),
            ", ".join(f"{w:.0f}x{h:.0f}" for w, h in level["anchors"]),
            *(share(level[key], facts) for key in ("under_a_cell", "in_shared_cells", "fitting")),
        )
        for level in at["levels"]
    ]
    return _table(("stride", "anchors", "smaller than a cell", "sharing a cell", "with a fitting anchor"), rows)


def _faults(facts: Facts) -> str:
    parts = []
    for kind, places in facts["faults"].items():
        more = [f"- and {len(places) - LISTED:,} more, see report.json"] if len(places) > LISTED else []
        parts.append("\n".join([f"{len(places):,} {kind}:", "", *(f"- `{place}`" for place in places[:LISTED]), *more]))
    return "\n\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells)
