"""Stock's layer numbers survive insertions, and freezing goes by them."""

from functools import lru_cache

import pytest
import torch

from models import build_model
from models.config import FOLDER
from models.numbering import stock_numbers
from tools.variants import VARIANTS
from utils.optim import freeze_layers
from utils.train_options import frozen_prefixes

SMALLEST = [variant for variant in VARIANTS if "yolov5n" in variant.source]


@lru_cache
def on_meta(name):
    with torch.device("meta"):
        return build_model(FOLDER / name)


def test_no_layers():
    assert stock_numbers({"backbone": [], "head": []}) == []


def test_attention_has_no_number():
    numbers = stock_numbers(on_meta("yolov5n-ema.yaml").yaml)
    assert numbers[:12] == [0, 1, 2, 3, 4, 5, 6, None, 7, 8, None, 9] and numbers[-1] == 24
    assert stock_numbers(on_meta("yolov5n.yaml").yaml) == list(range(25))
    assert stock_numbers(on_meta("hub/yolov5n6.yaml").yaml) == list(range(34))


def frozen_shapes(model, freeze):
    """Shapes of the parameters that do not train, in order, and the words of their layers."""
    model.requires_grad_(True)
    count = freeze_layers(model, frozen_prefixes(freeze, stock_numbers(model.yaml)))
    frozen = [(name, p) for name, p in model.named_parameters() if not p.requires_grad]
    assert len(frozen) == count
    return [(model.model[int(name.split(".")[1])].word, name.split(".", 2)[2], p.shape) for name, p in frozen]


@pytest.mark.parametrize("variant", SMALLEST, ids=lambda variant: variant.out)
@pytest.mark.parametrize("freeze", [(0,), (10,), (8, 9, 13), (24,), (99,)], ids=str)
def test_the_same_blocks_freeze_with_and_without_insertions(variant, freeze):
    plain, attention = (frozen_shapes(on_meta(name), freeze) for name in (variant.source, variant.out))
    assert plain == attention and bool(plain) == (freeze != (0,))
    assert all(word != "EMA" for word, *_ in attention)
