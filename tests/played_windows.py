"""Plays Windows to this process: what only POSIX has is gone, and a file or folder in use cannot be renamed.

Not played: drive letters, backslashes, locks by ``msvcrt``: filelock is loaded first, and what it needs of POSIX stays.
"""

import os
import select
import signal
import sys
from pathlib import Path

import filelock

assert filelock.FileLock is not filelock.SoftFileLock
_MODULES = ["fcntl", "grp", "posix", "pwd", "resource", "termios", "tty"]
_OF_OS = """
    chown copy_file_range fork forkpty getuid geteuid getgid getloadavg killpg mkfifo nice posix_fadvise
    posix_fallocate pread preadv pwrite pwritev readv sched_getaffinity sched_setaffinity sendfile setsid statvfs sync
    sysconf uname wait4 writev O_DIRECTORY
""".split()
_SIGNALS = ["SIGALRM", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "alarm", "pthread_kill", "setitimer"]


def play(remove=delattr, put=setattr, put_module=sys.modules.__setitem__):
    """Change this process; a test passes the functions of ``monkeypatch``, which changes it back."""
    for module, names in ((os, _OF_OS), (signal, _SIGNALS), (select, ["poll", "epoll"])):
        for name in filter(module.__dict__.get, names):
            remove(module, name)
    for name in _MODULES:
        put_module(name, None)
    for name in ("rename", "replace"):
        put(os, name, _careful(getattr(os, name)))


def _careful(rename):
    def careful(source, target, **options):
        for path in map(Path, (source, target)):
            if used := _in_use(path.absolute()):
                raise PermissionError(13, f"the process has {used} open", str(path))
        return rename(source, target, **options)

    return careful


def _in_use(path):
    opened = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    mapped = [Path(line.split(maxsplit=5)[-1]) for line in Path("/proc/self/maps").read_text().splitlines()]
    return next((each for each in (*opened, *mapped) if each.is_relative_to(path)), None)
