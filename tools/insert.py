"""Put attention, or any block, into a model YAML:
`python -m tools.insert yolov5s.yaml --block EMA --after backbone-last2 --out mine.yaml`.

Weights of the plain model load into the result (`train.py --cfg mine.yaml --weights yolov5s.pt`): what was inserted
starts new, everything else is found by its place in the list.
"""

import argparse
import difflib
import shlex
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml

from models import DetectionModel
from models.config import Config, Layer, find_config, read_config
from models.registry import Scale, find_block, head, joined, repeated, same, scaled
from models.summary import count_parameters
from tools.model_text import Numbers, find_rows, insert_rows
from utils.errors import LOG, UserError, run_command
from utils.files import write_text

C3_LIKE = ("C3", "C3TR", "C3Ghost", "C3x", "C3SPP", "BottleneckCSP", "Bottleneck")  # Bottleneck: the yolov3 family's
PARTS = ("backbone-last2", "backbone", "neck", "all")
STATING = (same, scaled, repeated)  # rules by which a row's first argument is its channels
PROBE = 256  # pixels


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, insert, check, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL.yaml", help="a path, or the name of a shipped model YAML")
    parser.add_argument("--block", required=True, help="what to insert: EMA or any other word of a model YAML")
    parser.add_argument(
        "--after",
        required=True,
        nargs="+",
        metavar="PLACE",
        help=f"{', '.join(PARTS)} (their C3 blocks), a block such as SPPF, or layer numbers of MODEL.yaml",
    )
    parser.add_argument("--args", nargs="+", default=[], help="the block's arguments after its channels")
    parser.add_argument("--out", required=True, type=Path, metavar="NEW.yaml", help="the file to write")
    parser.add_argument("--force", action="store_true", help="replace NEW.yaml")
    options = parser.parse_args(argv)
    source = find_config(options.model)
    _check_out(options.out, source, options.force)
    text = insert(source, options.block, options.after, options.args, options.out.name)
    before, after = _build(read_config(source)), build_text(text, options.out.name)
    if before.strides != after.strides:
        raise UserError(
            f"--block {options.block}: would turn the strides {before.strides} into {after.strides}, which the anchors "
            "do not fit; insert a block that keeps the size of its map"
        )
    write_text(options.out, text)
    title, total = text.splitlines()[0].removeprefix("# "), count_parameters(after)
    LOG.info(f"{options.out}: {title}; {total:,} parameters, {total - count_parameters(before):,} of them new")


def insert(source: Path, block: str, after: Sequence[str], args: Sequence[str] = (), name: str = "the result") -> str:
    """Return the text of `source` with `block` inserted after the layers that `after` names, under a line that says so.

    args: further arguments as a YAML has them. `name` is the result's, for messages. The layers that the text means
    are those wanted; that they become a network is for `build_text` to see. Raises UserError where a place or an
    argument is impossible.
    """
    config = read_config(source)
    chosen = find_places(config, after)
    text = source.read_bytes().decode("utf-8-sig")
    newline = "\r\n" if "\r\n" in text else "\n"
    command = ["python", "-m", "tools.insert", source.name, "--block", block, "--after", *after]
    command += ["--args", *args] if args else []
    title = f"# {source.name} with {block} after {describe_layers(chosen)}{newline}# ({shlex.join(command)}){newline}"
    rows = _rows_to_insert(config, chosen, block, args)
    if len({row.start for row in find_rows(text)}) < len(config.layers):
        raise UserError(
            f"{config.name}: a row is a copy (*name) of another, so it has no place of its own; write it out"
        )
    text = title + insert_rows(text, rows)
    _check_wiring(config, _read_text(text, name), chosen, block)
    return text


def build_text(text: str, name: str) -> DetectionModel:
    """Build the network of a YAML's text, without memory for its weights; UserError where it does not become one."""
    return _build(_read_text(text, name))


def find_places(config: Config, after: Sequence[str]) -> tuple[int, ...]:
    """The layer numbers that PLACEs mean, rising; a place that is not there is a `UserError` that names it."""
    chosen = sorted({layer for place in after for layer in _find_place(config, place)})
    last = config.layers[-1]
    if last.index in chosen:
        raise config.fail(last, "nothing can follow the last layer; choose one that it reads")
    return tuple(chosen)


def describe_layers(layers: Sequence[int]) -> str:
    """'layer 9', 'layers 4, 6 and 8'."""
    words = [str(layer) for layer in layers]
    return f"layer {words[0]}" if len(words) == 1 else f"layers {', '.join(words[:-1])} and {words[-1]}"


def _find_place(config: Config, place: str) -> list[int]:
    count = len(config.layers)
    if place.removeprefix("-").isdecimal():
        if not 0 <= int(place) < count:
            raise UserError(f"{config.name}: has no layer {place}; its layers are 0 to {count - 1}")
        return [int(place)]
    words = [layer.word.removeprefix("nn.") for layer in config.layers]
    if place not in PARTS:
        found = [i for i, word in enumerate(words) if word == place.removeprefix("nn.")]
        if not found:
            close = difflib.get_close_matches(place, (*PARTS, *words), n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise UserError(f"{config.name}: has no {place}; {hint}its blocks are {', '.join(sorted(set(words)))}")
        return found
    border = len(config.content["backbone"])
    part = range(border) if place.startswith("backbone") else range(border, count) if place == "neck" else range(count)
    found = [i for i in part if words[i] in C3_LIKE][-2 if place == "backbone-last2" else 0 :]
    if len(found) < (2 if place == "backbone-last2" else 1):
        where = "model" if place == "all" else place.split("-")[0]
        few = "only one C3 block" if found else "no C3 block"
        raise UserError(f"{config.name}: {place}: there is {few} in its {where}; give layer numbers or a block's name")
    return found


def _rows_to_insert(config: Config, chosen: Sequence[int], block: str, args: Sequence[str]) -> dict[int, str]:
    """The text of the row behind each chosen layer."""
    rule = find_block(block).rule
    if rule in (joined, head):
        raise UserError(f"--block {block}: takes several inputs, so it cannot follow one layer; choose another block")
    for arg in args:
        _check_argument(arg)
    rows = {}
    for layer in chosen:
        channels: list[int] = []
        if rule in STATING:
            row = config.layers[layer]
            if row.args and find_block(row.word).rule in STATING:
                channels = [row.args[0]]
            elif args or rule is not same:  # [] would leave them to the builder, but something follows
                channels = [_stated_channels(config, row)]
        rows[layer] = f"[-1, 1, {block}, [{', '.join([*map(str, channels), *args])}]]"
    return rows


def _check_argument(arg: str) -> None:
    try:
        fine = len(yaml.safe_load(f"[{arg}]")) == 1
    except yaml.YAMLError:
        fine = False
    if not fine or "#" in arg or "\n" in arg:
        raise UserError(f"--args {arg!r}: is not one value of a YAML list; give each by itself: --args 8 False")


def _stated_channels(config: Config, row: Layer) -> int:
    """The number that, scaled, gives the channels of a layer whose row does not state any."""
    found: list[int] = []
    model, content = _build(config), config.content
    model.model[row.index].register_forward_hook(lambda _, __, output: found.append(output.shape[1]))
    model(torch.zeros(1, model.yaml["ch"], PROBE, PROBE, device="meta"))
    scale = Scale(content["depth_multiple"], content["width_multiple"], content.get("channel_multiple", 8))
    near = int(found[0] / scale.width)
    for stated in (near, near - 1):  # rounding may lift the first one over the border
        if scale.channels(stated) == found[0]:
            return stated
    raise config.fail(row, f"no number of channels in the YAML gives its {found[0]}; choose another layer")


def _read_text(text: str, name: str) -> Config:
    try:
        return read_config(yaml.safe_load(text) | {"yaml_file": name})
    except yaml.YAMLError as error:
        raise UserError(f"{name}: would not be valid YAML ({error.problem}); write one layer a line") from None


def _check_wiring(before: Config, after: Config, chosen: tuple[int, ...], block: str) -> None:
    """The text was edited; here the layers that it means are compared with those wanted."""
    numbers, wanted = Numbers(chosen), []
    for layer in before.layers:
        wanted.append((tuple(map(numbers.output, layer.source)), layer.repeats, layer.word, layer.args))
        if layer.index in chosen:
            wanted.append(((numbers.place(layer.index),), 1, block, after.layers[len(wanted)].args))
    if wanted != [(layer.source, layer.repeats, layer.word, layer.args) for layer in after.layers]:
        raise UserError(f"{before.name}: its rows are written in a way that is not understood; write one layer a line")


def _build(config: Config) -> DetectionModel:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return DetectionModel(config, config.content.get("ch", 3))


def _check_out(out: Path, source: Path, force: bool) -> None:
    if out.suffix not in (".yaml", ".yml"):
        raise UserError(f"--out {out}: is not the name of a YAML file; let it end in .yaml")
    if out.exists() and out.resolve() == source.resolve():
        raise UserError(f"--out {out}: is the file that is read; give another name")
    if out.is_dir() or (out.exists() and not force):
        raise UserError(f"--out {out}: exists; give another name{'' if out.is_dir() else ', or --force to replace it'}")


if __name__ == "__main__":
    run_command(main)
