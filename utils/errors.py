"""One way for a user's mistake to become one sentence and a non-zero exit."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

LOG = logging.getLogger("yolov5")
ROOT = Path(__file__).resolve().parent.parent


class UserError(Exception):
    """A mistake that the user can mend. The message is one sentence naming the file, the place and the remedy."""


def run_command(main: Callable[[], None]) -> None:
    """Run a script's `main` and exit: 0 when it returns, 1 with one line for a `UserError` or a failing disk,
    130 after Ctrl-C and 143 after SIGTERM (both unwind the stack, so files are closed and released)."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[_Console(sys.stdout)], force=True)
    signal.signal(signal.SIGTERM, _terminate)
    threading.excepthook = _report_thread
    try:
        main()
    except UserError as error:
        _fail(str(error))
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        _fail(describe_os_error(error))
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # PyTorch's; this module does without PyTorch
            raise
        _fail("the GPU's memory does not suffice; use a smaller --batch-size, --imgsz or model")
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)


def describe_os_error(error: OSError) -> str:
    """Return 'FILE: reason' for an operating-system error."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{(error.strerror or str(error)).lower()}"


class _Console(logging.StreamHandler):
    """Where a reader such as `| head` has gone, the run goes on in silence."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        if isinstance(sys.exc_info()[1], BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        else:
            super().handleError(record)


def _report_thread(failure: threading.ExceptHookArgs) -> None:
    """One line for a failing disk also in threads such as TensorBoard's writer, which hands the error on to `main`."""
    if isinstance(failure.exc_value, OSError):
        LOG.warning("a file cannot be written or read: %s", describe_os_error(failure.exc_value))
    else:
        threading.__excepthook__(failure)


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)


def _terminate(signum: int, frame: object) -> None:
    raise SystemExit(128 + signum)
