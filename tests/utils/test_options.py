from dataclasses import dataclass

import pytest

from utils.errors import UserError
from utils.options import option, parse_options


@dataclass(frozen=True)
class MadeUp:
    image_size: int = option(640, "pixels", flags=("--img", "--imgsz"))
    rate: float | None = option(None, "rate")
    weights: tuple[str, ...] = option(("a.pt",), "files")
    half: bool = option(False, "switch")
    task: str = option("val", "which", choices=("val", "test"))


def parsed(*argv):
    return parse_options(MadeUp, "made up", argv, declined={"--old": "is gone; use --new"})


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], MadeUp()),
        (["--img", "320"], MadeUp(image_size=320)),
        (["--image-s", "320", "--hal"], MadeUp(image_size=320, half=True)),  # abbreviations
        (["--rate", "0.5"], MadeUp(rate=0.5)),
        (["--weights", "b.pt", "c.pt"], MadeUp(weights=("b.pt", "c.pt"))),
        (["--task", "test"], MadeUp(task="test")),
    ],
)
def test_flags(argv, expected):
    assert parsed(*argv) == expected


@pytest.mark.parametrize("argv", [["--nonsense"], ["--img", "big"], ["--task", "dance"], ["--weights"]])
def test_unreadable_flags_exit_with_usage(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        parsed(*argv)
    assert caught.value.code == 2 and "usage" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--old"], ["--old", "3", "4"]])
def test_declined_flags_say_why(argv):
    with pytest.raises(UserError, match="--old: is gone; use --new"):
        parsed(*argv)


def test_help_shows_defaults_and_hides_what_is_declined(capsys):
    with pytest.raises(SystemExit):
        parsed("--help")
    text = capsys.readouterr().out
    assert "(default: 640)" in text and "--old" not in text


def test_a_misspelt_flag_gets_close_ones(capsys):
    with pytest.raises(SystemExit):
        parsed("--wieghts", "a.pt")
    assert "error: unrecognized arguments: --wieghts a.pt; did you mean --weights" in capsys.readouterr().err


@dataclass(frozen=True)
class Child(MadeUp):
    source: str = option("x", "files to look at")


def test_inherited_flags_work_and_come_last_in_the_help(capsys):
    assert parse_options(Child, "made up", ["--img", "32", "--source", "y"]) == Child(image_size=32, source="y")
    with pytest.raises(SystemExit):
        parse_options(Child, "made up", ["--help"])
    text = capsys.readouterr().out
    assert text.index("files to look at") < text.index("pixels") < text.index("which")
