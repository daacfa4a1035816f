"""Files that users should not give, but do, and odd ones that must work."""

import os
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import torch

from models import build_model
from tests.detect_fakes import counting_video, save
from tests.tiny import MODEL, NAMES, write_split
from utils.checkpoint import save_checkpoint
from utils.files import read_yaml, write_yaml

PAGE = b"<!DOCTYPE html>\n<html><body>404: not found</body></html>\n"


def write_weights(path: Path, names: dict[int, str] = NAMES) -> Path:
    """A finished checkpoint of the tiny model, untrained."""
    torch.manual_seed(0)
    model = build_model(MODEL, nc=len(names), names=names)
    state = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    content = {"yaml": model.yaml, "names": model.names, "state_dict": state, "dtype": "float32", "training": None}
    save_checkpoint(path, content | {"epoch": 2, "best_fitness": 0.0, "date": "2024-01-01T00:00:00+00:00"})
    return path


class Touch:
    """Pickles as a program that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch '{self.path}'",)


def write_bad_weights(folder: Path, good: Path, marker: Path) -> None:
    """empty, page, half, program (a pickle in torch's zip) and pickled (a bare one), each as .pt, .onnx, .torchscript;
    the last two make the file `marker` when they are run."""
    whole = good.read_bytes()
    contents = {"empty": b"", "page": PAGE, "half": whole[: len(whole) // 2], "pickled": pickle.dumps(Touch(marker))}
    folder.mkdir()
    for suffix in ("pt", "onnx", "torchscript"):
        for name, content in contents.items():
            (folder / f"{name}.{suffix}").write_bytes(content)
        torch.save({"model": Touch(marker), "training": Touch(marker)}, folder / f"program.{suffix}")


def write_bad_yamls(folder: Path) -> None:
    """YAML files that cannot be read, and models and hyper-parameters that say something wrong."""
    texts = {
        "empty.yaml": "",
        "list.yaml": "- 1\n",
        "broken.yaml": "a: 1\nb: [1\nc: 2\n",
        "tagged.yaml": f"!!python/object/apply:os.system ['touch {folder / 'ran'}']",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    shutil.copy(folder / "set/images/val/0.png", folder / "photo.yaml")
    hyp, (first, *rest) = read_yaml(folder / "hyp.yaml"), MODEL["backbone"]
    write_yaml(folder / "typo.yaml", hyp | {"lr": 1})
    write_yaml(folder / "text.yaml", hyp | {"lr0": "fast"})
    write_yaml(folder / "grey.yaml", MODEL | {"ch": 1})
    write_yaml(folder / "words.yaml", MODEL | {"backbone": [[-1, 1, "Convv", [64, 6, 2, 2]], *rest]})
    write_yaml(folder / "code.yaml", MODEL | {"backbone": [[-1, 1, "Conv", ["__import__('os')"]], *rest]})
    write_yaml(folder / "parts.yaml", MODEL | {"backbone": [first, *rest[:3], [-1, 1, "Conv", [128, 3, 1]], *rest[4:]]})


def write_bad_sources(folder: Path) -> None:
    """For detect: a folder and a list without files, pictures and films that cannot be read."""
    for name in ("void", "pictures", "films"):
        (folder / name).mkdir()
    (folder / "void.txt").write_text("")
    (folder / "lost.txt").write_text("gone.jpg\n")
    (folder / "mixed.txt").write_text("set/images/val/0.png\n\ngone.jpg\npictures/page.jpg\n")
    for name, content in {"empty": b"", "page": PAGE, "half": b"\xff\xd8\xff\xe0\0\x10JFIF"}.items():
        (folder / f"pictures/{name}.jpg").write_bytes(content)
        (folder / f"films/{name}.mp4").write_bytes(content)
    film = counting_video(folder / "film.avi", 30).read_bytes()
    (folder / "cut.avi").write_bytes(film[: len(film) * 8 // 10])


def write_bad_data(folder: Path) -> None:
    """Data-set YAMLs beside the tiny one, and the images and labels that are wrong in them."""
    good = read_yaml(folder / "tiny.yaml")
    marker = str(folder / "ran")
    code = {"shell": f"wget http://127.0.0.1/x.sh && touch '{marker}'", "python": f"import os\nos.mknod({marker!r})"}
    for name, text in code.items():
        write_yaml(folder / f"{name}.yaml", good | {"path": str(folder / "absent"), "download": text})
        write_yaml(folder / f"{name}_there.yaml", good | {"download": text})
    write_yaml(folder / "absent.yaml", good | {"val": "images/absent"})
    write_yaml(folder / "four.yaml", good | {"names": ["a", "b", "c", "d"]})
    write_yaml(folder / "short.yaml", good | {"nc": 5})
    for name in ("high", "rubbish", "mended", "bare"):
        for split in ("train", "val"):
            write_split(folder / name, split, 3, np.random.default_rng(0))
        write_yaml(folder / f"{name}.yaml", good | {"path": str(folder / name)})
    for split in ("train", "val"):
        labels, images = (folder / "{}" / kind / split for kind in ("labels", "images"))
        append(labels, "high", "7 0.5 0.5 0.1 0.1")
        for number in range(3):
            image = at(images, "rubbish") / f"{number}.png"
            image.write_bytes(image.read_bytes()[:-30])
            (at(labels, "bare") / f"{number}.txt").write_text("")
        append(labels, "mended", "1 0.5 0.5 0.1\n1 0.5 0.5 nan 0.1\nx\n0 0.5 0.5 1.1 0.2")
        (at(labels, "mended") / "1.txt").write_bytes(bytes(range(256)))
        (at(images, "mended") / "2.png").write_bytes(PAGE)


def at(template: Path, name: str) -> Path:
    return Path(str(template).format(name))


def append(template: Path, name: str, rows: str) -> None:
    """Add rows to the first label file."""
    with (at(template, name) / "0.txt").open("a") as file:
        file.write(f"\n{rows}\n")


def write_odd_images(folder: Path) -> dict[str, tuple[int, int]]:
    """Images that must simply work; returns their names and (height, width) as people see them."""
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 4), dtype=np.uint8)
    images = {
        "thin.png": np.full((1, 1000, 3), 90, np.uint8),
        "tall.png": np.full((1000, 1, 3), 90, np.uint8),
        "grey.png": pixels[..., 0],
        "deep.png": pixels[..., :3].astype(np.uint16) * 257,
        "clear.png": pixels,
        "two words.png": pixels[..., :3],
        "größe 写真 é.bmp": pixels[..., :3],
    }
    for name, image in images.items():
        save(folder / name, image)
    content = cv2.imencode(".jpg", pixels[..., :3])[1].tobytes()
    quarter_turn = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    segment = b"\xff\xe1" + (len(quarter_turn) + 2).to_bytes(2, "big") + quarter_turn
    (folder / "turned.jpg").write_bytes(content[:2] + segment + content[2:])
    return {name: image.shape[:2] for name, image in images.items()} | {"turned.jpg": (60, 40)}
