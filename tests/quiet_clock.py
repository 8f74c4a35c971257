"""A clock for tests that bound how long something takes, on machines that do other things as well."""

import time
from pathlib import Path

SOON_S = 60.0
"""A bound for what takes seconds, where what it is told from takes minutes or never ends. It is wide: a thread may wait for
another that has no core."""

_WAITS = Path("/proc/thread-self/schedstat")  # Linux: nanoseconds on a core, nanoseconds ready to run without one, turns


def quiet_seconds():
    """Seconds that stand still while this thread is ready to run and has no core; elsewhere than on Linux they do not."""
    waited = int(_WAITS.read_text().split()[1]) / 1e9 if _WAITS.is_file() else 0.0
    return time.monotonic() - waited
