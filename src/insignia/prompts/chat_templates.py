"""Renders untrusted chat templates in a separate process with limits on time and memory.

A chat template is a program from whoever made the model folder. jinja2's sandbox protects the machine, but not against
endless loops or excessive memory; only a process can be stopped then. One process (``sandbox.py``) serves the whole run, at a
cost of some tenths of a millisecond per rendering.
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

_SECONDS = 10.0  # a rendering takes under a millisecond, but the first one waits for Python to start
_SANDBOX = Path(__file__).parent / "sandbox.py"


def render(template: str, values: Mapping[str, Any]) -> str:
    """Render a chat template as transformers does.

    Raises:
        InputError: the template refuses the conversation, fails, or exceeds the limits.
    """
    return _renderer(os.getpid()).render(template, values)


class Renderer:
    """The rendering process. It starts on first use and again after a template ended it."""

    def __init__(self, *, seconds: float = _SECONDS) -> None:
        """``seconds`` limits one rendering."""
        self._seconds = seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def render(self, template: str, values: Mapping[str, Any]) -> str:
        """Render a chat template. See the function ``render``."""
        request = json.dumps({"template": template, "values": values})
        with self._lock:
            process = self._running()
            answer = _exchange(process, request, self._seconds)
            if not answer:
                self._end()
        roles = ", ".join(message["role"] for message in values["messages"])
        if answer is None:
            raise InputError(f"the tokenizer's chat template runs for more than {self._seconds:g} s; use --prompt-form raw")
        if not answer:  # the process's own error may quote the conversation
            raise InputError(
                f"the tokenizer's chat template fails or needs too much memory for a conversation of these turns: {roles}; "
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
            with contextlib.suppress(OSError):  # unsent data
                self._process.communicate()
            self._process = None


def _exchange(process: subprocess.Popen[str], request: str, seconds: float) -> str | None:
    """Send a line and return the answer; empty if the process ended, None if it did not answer in time."""
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
def _renderer(_process: int) -> Renderer:
    """Return the renderer of a process, since a forked process must not share its parent's pipes."""
    renderer = Renderer()
    atexit.register(renderer.close)
    return renderer
