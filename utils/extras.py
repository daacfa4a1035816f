"""Packages that only some commands need."""

import importlib
from types import ModuleType

from utils.errors import UserError


def require(package: str, purpose: str) -> ModuleType:
    """Import and return a package; where it is not installed, say what it is for and how to get it."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise UserError(f"{purpose} needs the package {package}: pip install {package}") from None
