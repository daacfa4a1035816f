import os
import subprocess
import sys
import threading

import pytest
import torch

from utils.errors import ROOT, UserError, describe_os_error, run_command


def exit_of(main):
    with pytest.raises(SystemExit) as caught:
        run_command(main)
    return caught.value.code


def raising(error):
    def main():
        raise error

    return main


def test_a_main_that_returns_is_fine():
    assert run_command(lambda: None) is None


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UserError("a.yaml: is empty; write something"), 1, "error: a.yaml: is empty; write something\n"),
        (FileNotFoundError(2, "No such file or directory", "a.pt"), 1, "error: a.pt: no such file or directory\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
    ],
)
def test_mistakes_become_one_sentence(error, code, words, capsys):
    assert exit_of(raising(error)) == code
    assert capsys.readouterr().err == words


def test_our_own_mistakes_keep_their_traceback():
    for error in (ValueError("bug"), OSError("without a number")):
        with pytest.raises(type(error)):
            run_command(raising(error))


def test_disk_errors_in_words():
    assert describe_os_error(OSError(28, "No space left on device")) == "no space left on device"


def test_a_failing_disk_in_a_thread_is_one_line_and_a_bug_keeps_its_traceback(monkeypatch, capsys, caplog):
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)  # which a command changes

    def main():
        for error in (OSError(28, "No space left on device"), ValueError("bug")):
            thread = threading.Thread(target=raising(error))
            thread.start()
            thread.join()

    run_command(main)
    text = capsys.readouterr()
    assert "a file cannot be written or read: no space left on device" in text.out
    assert text.err.count("Traceback") == 1 and "ValueError: bug" in text.err


def test_a_reader_that_leaves_does_not_stop_the_run():
    code = (
        "import sys\nfrom utils.errors import LOG, run_command\n"
        "def main():\n"
        "    for number in range(20000):\n        LOG.info('line %d', number)\n"
        "    sys.stderr.write('done')\n"
        "run_command(main)"
    )
    done = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.stdout.readline() == b"line 0\n"
    done.stdout.close()
    assert done.stderr.read() == b"done" and done.wait() == 0
    done.stderr.close()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_sigterm_unwinds_the_stack():
    code = (
        "import os, signal\nfrom utils.errors import run_command\n"
        "def main():\n"
        "    try:\n        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    finally:\n        print('released', flush=True)\n"
        "run_command(main)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (143, "released\n")


def test_a_full_gpu_is_one_sentence(capsys):
    def main():
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(SystemExit) as stop:
        run_command(main)
    assert stop.value.code == 1
    assert "smaller --batch-size" in capsys.readouterr().err
