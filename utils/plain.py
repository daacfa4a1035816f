"""A dataclass from plain data out of a file, which somebody may have changed by hand."""

import dataclasses
import types
import typing
from typing import Any, TypeVar

from utils.errors import UserError

T = TypeVar("T")


def from_plain(cls: type[T], content: Any, place: str) -> T:
    """`cls(**content)`, lists standing for tuples where a field is one.

    Raises `UserError` that begins with `place` where `content` is no mapping, names a field that `cls` lacks, or holds
    a value of another type than the field's; types are str, int, float, bool, None, lists and tuples of them, unions.
    """
    if not isinstance(content, dict):
        raise UserError(f"{place}: holds no mapping but {content!r:.60}")
    hints = typing.get_type_hints(cls)
    fields = {field.name for field in dataclasses.fields(cls)}
    values = {}
    for name, value in content.items():
        if name not in fields:
            raise UserError(f"{place}: unknown option {name!r}; was it written by another version of train.py?")
        values[name] = tuple(value) if isinstance(value, list) and _is_tuple(hints[name]) else value
        if not _fits(values[name], hints[name]):
            raise UserError(f"{place}: {name} is {value!r}, of another type than train.py writes; undo the change")
    return cls(**values)


def _is_tuple(hint: Any) -> bool:
    return typing.get_origin(hint) is tuple


def _fits(value: Any, hint: Any) -> bool:
    parts = typing.get_args(hint)
    if isinstance(hint, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if typing.get_origin(hint) in (list, tuple):
        return type(value) is typing.get_origin(hint) and all(_fits(item, parts[0]) for item in value)
    return type(value) is hint or (hint is float and type(value) is int)
