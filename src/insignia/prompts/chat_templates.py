"""Chat templates of others, which are programs: rendered by a process of their own, with limits to its time and memory.

The template of a model folder comes from whoever made the folder. jinja2's sandbox keeps it from the machine, but not from
running for ever or asking for more memory than there is; only a process can be ended in the midst of that. One such process
serves the whole run, so that a rendering costs some tenths of a millisecond more (``sandbox.py`` is what it runs).
"""

import atexit
import contextlib
import functools
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from insignia.errors import InputError

__all__ = ["Renderer", "render"]

_SECONDS = (
    10.0  # a rendering takes well under a millisecond; the first waits for Python to start, on a busy machine for seconds
)
_SANDBOX = Path(__file__).parent / "sandbox.py"


def render(template: str, values: Mapping[str, Any]) -> str:
    """What a chat template makes of plain values, as transformers renders it.

    Raises:
        InputError: it refuses the conversation, fails, or needs more time or memory than any template should.
    """
    return _renderer(os.getpid()).render(template, values)


class Renderer:
    """The process that renders; it is started when it is needed, and again after a template ended it."""

    def __init__(self, *, seconds: float = _SECONDS) -> None:
        """``seconds``: for one rendering."""
        self._seconds = seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def render(self, template: str, values: Mapping[str, Any]) -> str:
        """See ``render`` of this module."""
        request = json.dumps({"template": template, "values": values})
        with self._lock:
            process = self._running()
            answer = _exchange(process, request, self._seconds)
            if not answer:
                self._end()
        roles = ", ".join(message["role"] for message in values["messages"])
        if answer is None:
            raise InputError(f"the tokenizer's chat template runs for more than {self._seconds:g} s; use --prompt-form raw")
        if not answer:  # what it died of may quote the conversation
            raise InputError(
                f"the tokenizer's chat template fails, or needs too much memory, on a conversation of these turns: {roles}; "
                "use --prompt-form raw"
            )
        said = json.loads(answer)
        if "text" not in said:
            raise InputError(f"the tokenizer's chat template refuses a conversation of these turns: {roles}")
        return str(said["text"])

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603  our own file, by our own Python
                [sys.executable, "-P", str(_SANDBOX)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="ascii",
            )
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(OSError):  # what was not sent any more
                self._process.communicate()
            self._process = None


def _exchange(process: subprocess.Popen[str], request: str, seconds: float) -> str | None:
    """One line for one line; empty where the process ended, None where it is still at work."""
    assert process.stdin is not None  # noqa: S101  # for the type checker: both are pipes
    assert process.stdout is not None  # noqa: S101
    try:
        process.stdin.write(f"{request}\n")  # it reads a whole line before it renders
        process.stdin.flush()
    except OSError:
        return ""
    if not select.select([process.stdout], [], [], seconds)[0]:
        return None
    return process.stdout.readline()


@functools.cache
def _renderer(process: int) -> Renderer:
    """One for each process, so that one that was forked does not share its parent's pipes."""
    del process
    renderer = Renderer()
    atexit.register(renderer.close)
    return renderer
