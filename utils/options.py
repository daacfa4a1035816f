"""Frozen dataclasses as command lines: a field is a flag, its default the flag's default."""

import argparse
import dataclasses
import difflib
import types
import typing
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

from utils.errors import UserError

T = TypeVar("T")


def option(default: Any, help: str, *, flags: Sequence[str] = (), **argparse_arguments: Any) -> Any:
    """A dataclass field that is also the flag `--field-name`.

    `flags` are further spellings; `argparse_arguments` (nargs, const, choices, type, ...) override what the field's
    type gives: bool is a switch, a tuple takes one or more values, everything else takes one.
    """
    metadata = {"help": help, "flags": tuple(flags), "argparse": argparse_arguments}
    return dataclasses.field(default=default, metadata=metadata)


def parse_options(
    cls: type[T], description: str, argv: Sequence[str] | None = None, declined: dict[str, str] | None = None
) -> T:
    """Read a command line into `cls`; --help lists inherited flags last. `declined` maps flags that are not offered to
    the sentence that says why; using one is a `UserError`. Unknown flags and unreadable values exit with 2 and a usage
    line."""
    parser = _Parser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    hints = typing.get_type_hints(cls)
    for field in sorted(dataclasses.fields(cls), key=lambda field: field.name not in cls.__annotations__):
        _add_flag(parser, field, hints[field.name])
    for flag, sentence in (declined or {}).items():
        parser.add_argument(flag, action=_Declined, nargs="*", help=argparse.SUPPRESS, metavar=sentence)
    values = vars(parser.parse_args(argv))
    return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


class _Parser(argparse.ArgumentParser):
    """Answers a mistake with a sentence, not with all flags before it."""

    def error(self, message: str) -> NoReturn:
        unknown = message.partition("unrecognized arguments: ")[2].split() or [""]
        close = difflib.get_close_matches(unknown[0].partition("=")[0], self._option_string_actions, n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        self.exit(2, f"usage: {self.prog} --help lists all flags\nerror: {message}{hint}\n")


class _Declined(argparse.Action):
    def __init__(self, option_strings: list[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest=argparse.SUPPRESS, **{**kwargs, "default": argparse.SUPPRESS})

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        raise UserError(f"{option_string}: {self.metavar}")


def _add_flag(parser: argparse.ArgumentParser, field: dataclasses.Field, hint: Any) -> None:
    names = ["--" + field.name.replace("_", "-"), *field.metadata.get("flags", ())]
    arguments = {"help": field.metadata.get("help", " "), "dest": field.name, "default": field.default}
    arguments |= _from_type(hint) | field.metadata.get("argparse", {})
    parser.add_argument(*names, **arguments)


def _from_type(hint: Any) -> dict[str, Any]:
    if hint is bool:
        return {"action": "store_true"}
    if isinstance(hint, types.UnionType):  # `int | None`: the flag takes the kind that is not None
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    if typing.get_origin(hint) is tuple:
        return {"nargs": "+", "type": typing.get_args(hint)[0]}
    return {"type": hint}
