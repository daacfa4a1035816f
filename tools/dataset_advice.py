"""What `tools.dataset` advises, each sentence with the figure that it comes from. They are rules of thumb."""

from tools.dataset_facts import ANCHOR_T, Facts
from utils.anchors import GOOD_RECALL

SMALL, TINY = "16", "8"  # pixels; 8 is a cell of the usual finest level, P3
FEW = 0.10  # share of the objects that may be tiny
CROWDED = 0.02  # share of the objects that may have to share a cell, or be lost by suppression
SHRUNK = 1.5  # how much smaller than the original an image may become before slices are worth a word
RARE = 0.01
USUAL_MAX_DET = 300


def advise(facts: Facts) -> list[str]:
    """Sentences that begin with what they are about; none for an empty data set."""
    if not facts["objects"]:
        return []
    rules = (_image_size, _p2, _slices, _anchors, _max_det, _suppression, _rare_classes, _ignored, _faults)
    return [sentence for rule in rules if (sentence := rule(facts))]


def share(part: float, facts: Facts) -> str:
    """A part of all objects in percent."""
    return f"{100 * part / max(facts['objects'], 1):.1f} %"


def _image_size(facts: Facts) -> str:
    if not facts["standard"]:
        return ""
    total, first = facts["objects"], facts["at"][0]
    useful = [size for size in facts["standard"] if size <= 1.1 * facts["median_longer_side"]]
    good = [size for size in useful if facts["standard"][size][TINY] <= FEW * total]
    now = f"at {first['image_size']} {share(first['under'][TINY], facts)} of the objects are under {TINY} pixels"
    if not useful or (good and good[0] <= first["image_size"]):
        return f"Image size: {first['image_size']} is enough: {now}."
    size = good[0] if good else useful[-1]
    then = f"at {size} {share(facts['standard'][size][TINY], facts)}"
    if not good and size <= first["image_size"]:
        return f"Image size: larger than {first['image_size']} only enlarges the images: {now}."
    return f"Image size: --img {size}: {now}, {then}."


def _p2(facts: Facts) -> str:
    last, total = facts["at"][-1], facts["objects"]
    where = f"at {last['image_size']}" if last["image_size"] else "at their original size"
    cells = last["in_shared_cells"]
    tiny, shared = last["under"][TINY], cells["8"]
    figures = (
        f"{where} {share(tiny, facts)} of the objects are under 8 pixels, a P3 cell, and {share(shared, facts)} share "
        f"their P3 cell with another centre ({share(cells['4'], facts)} with cells of 4 pixels)"
    )
    if tiny > FEW / 2 * total or shared - cells["4"] > CROWDED * total:
        return f"P2: take a model with a P2 level, such as yolov5s-p2.yaml: {figures}."
    return f"P2: not needed: {figures}."


def _slices(facts: Facts) -> str:
    if not facts["standard"]:
        return ""
    last = facts["at"][-1]
    shrunk = facts["median_longer_side"] / last["image_size"]
    lost = last["under"][SMALL] - facts["original"]["under"][SMALL]
    figures = (
        f"the median image is {facts['median_longer_side']:.0f} pixels long, and {share(last['under'][SMALL], facts)} "
        f"of the objects are under {SMALL} pixels at {last['image_size']}, "
        f"{share(facts['original']['under'][SMALL], facts)} in the original"
    )
    if shrunk >= SHRUNK and lost > FEW * facts["objects"]:
        return f"Slices: detect and validate with --slice {last['image_size']}: {figures}."
    return f"Slices: little to win over --img {last['image_size']}: {figures}."


def _anchors(facts: Facts) -> str:
    poor = [at for at in facts["at"] if at["best_possible_recall"] <= GOOD_RECALL]
    if not poor:
        return ""
    words = ", ".join(
        f"{at['best_possible_recall']:.3f}" + (f" at {at['image_size']}" if at["image_size"] else "") for at in poor
    )
    return (
        f"Anchors: leave autoanchor on: those of {facts['model']} are within a factor {ANCHOR_T:g} of too few objects "
        f"(best possible recall {words}; it replaces them up to {GOOD_RECALL})."
    )


def _max_det(facts: Facts) -> str:
    most = facts["per_image"]["most"]
    if most <= USUAL_MAX_DET:
        return ""
    return (
        f"Detections: --max-det 500 or more: one image holds {most} objects, "
        f"{facts['per_image']['over_300']} in all more than {USUAL_MAX_DET}."
    )


def _suppression(facts: Facts) -> str:
    tight = facts["overlapping_pairs"][0]
    if tight["of_one_class"] <= CROWDED * facts["objects"]:
        return ""
    return (
        f"Suppression: raise --iou: {tight['of_one_class']:,} pairs of one class overlap by more than {tight['iou']} "
        f"({facts['overlapping_pairs'][1]['of_one_class']:,} by more than {facts['overlapping_pairs'][1]['iou']}), and "
        "of each only one can be kept."
    )


def _rare_classes(facts: Facts) -> str:
    rare = {name: count for name, count in facts["classes"].items() if count < RARE * facts["objects"]}
    if not rare:
        return ""
    shown = ", ".join(f"{name} {count:,}" for name, count in sorted(rare.items(), key=lambda item: item[1])[:5])
    more = f" and {len(rare) - 5} more" if len(rare) > 5 else ""
    return f"Rare classes: expect low scores for those with less than 1 % of the objects: {shown}{more}."


def _ignored(facts: Facts) -> str:
    ignored = facts["ignored"]
    if not ignored["regions"]:
        return ""
    size = "" if ignored["share"] is None else f" cover {100 * ignored['share']:.1f} % of the pixels"
    return (
        f"Ignored regions: keep them on (ignore: true): nobody labelled the objects in them; {ignored['regions']:,} in "
        f"{ignored['images']:,} images{size}."
    )


def _faults(facts: Facts) -> str:
    count = sum(map(len, facts["faults"].values()))
    return f"Labels: look at the {count:,} places listed in the report before training." if count else ""
