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
import queue
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
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader: threading.Thread | None = None

    def render(self, template: str, values: Mapping[str, Any]) -> str:
        """Render a chat template. See the function ``render``."""
        request = json.dumps({"template": template, "values": values})
        with self._lock:
            process = self._running()
            answer = self._exchange(process, request)
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
            self._answers = queue.SimpleQueue()
            self._reader = threading.Thread(target=_read_lines, args=(self._process, self._answers), daemon=True)
            self._reader.start()
        return self._process

    def _exchange(self, process: subprocess.Popen[str], request: str) -> str | None:
        """Send a line and return the answer; empty if the process ended, None if it did not answer in time."""
        assert process.stdin is not None  # noqa: S101  for the type checker: it is a pipe
        try:
            process.stdin.write(f"{request}\n")  # it reads a whole line before it renders
            process.stdin.flush()
        except OSError:
            return ""
        try:
            return self._answers.get(timeout=self._seconds)
        except queue.Empty:
            return None

    def _end(self) -> None:
        if self._process is not None and self._reader is not None:
            self._process.kill()
            self._reader.join()
            with contextlib.suppress(OSError), self._process:  # unsent data; leaving the block closes the pipes
                self._process.wait()
            self._process = self._reader = None


def _read_lines(process: subprocess.Popen[str], answers: "queue.SimpleQueue[str]") -> None:
    """Pass on the lines of the process, and an empty one when it ends: only in a thread can Windows wait for a pipe."""
    assert process.stdout is not None  # noqa: S101  for the type checker: it is a pipe
    for line in process.stdout:
        answers.put(line)
    answers.put("")


@functools.cache
def _renderer(_process: int) -> Renderer:
    """Return the renderer of a process, since a forked process must not share its parent's pipes."""
    renderer = Renderer()
    atexit.register(renderer.close)
    return renderer
