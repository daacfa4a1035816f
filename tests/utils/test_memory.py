import os
import subprocess
import sys

import pytest

PROBE = """
import resource, numpy as np
from utils.memory import keep_freed_memory
{call}
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(4 << 20, np.uint8)
before = faults()
for _ in range(50): np.ones(4 << 20, np.uint8)
print(faults() - before)
"""


def count_faults(call):
    code = PROBE.format(call=call)
    unset = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=unset, check=True)
    return int(run.stdout)


@pytest.mark.skipif(sys.platform != "linux" or not os.confstr("CS_GNU_LIBC_VERSION"), reason="only glibc learns so")
def test_freed_memory_is_used_again():
    assert count_faults("keep_freed_memory()") * 10 < count_faults("np.ones(64 << 20, np.uint8)")
