import time

import pytest

from utils.stopwatch import Stopwatch


def test_before_the_first_picture():
    watch = Stopwatch()
    assert watch.milliseconds() == {} and watch.seconds == {}


def test_stages_add_up():
    watch = Stopwatch("cpu")
    for _ in range(2):
        with watch.stage("sleep"):
            time.sleep(0.02)
        with watch.stage("nothing"):
            pass
        watch.count(4)
    assert watch.seconds["sleep"] >= 0.04 > watch.seconds["nothing"] >= 0
    assert watch.last["sleep"] < watch.seconds["sleep"]
    assert watch.milliseconds()["sleep"] == pytest.approx(1000 * watch.seconds["sleep"] / 8)
