"""
Syncs that fail in the kernel once a given file is opened.

A missing sync has an effect only after a power failure, but a failing sync raises an error. So a test lets the syncs of
one file fail and expects the error. The kernel refuses them by a seccomp filter of one thread, which ends with the
thread; nothing in Python is replaced.
"""

import ctypes
import errno
import platform
import struct
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

# fsync, fdatasync, syncfs
_CALLS = {"x86_64": (74, 75, 306), "aarch64": (82, 83, 267)}
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000 | errno.EIO

_of_thread = threading.local()


def with_failing_syncs(path: Path, act: Callable[[], T]) -> T:
    """Call `act` in a new thread in which syncs fail once a file is opened whose path matches `path`."""
    if sys.platform != "linux" or platform.machine() not in _CALLS:
        pytest.skip("the numbers of the system calls are unknown on this platform")

    def run() -> T:
        _of_thread.awaited = str(path)
        return act()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and fnmatch(str(arguments[0]), getattr(_of_thread, "awaited", "")):
        _of_thread.awaited = ""
        _forbid_syncs()


def _forbid_syncs() -> None:
    """Let syncs of this thread fail until it ends."""
    calls = _CALLS[platform.machine()]
    program = [
        (_LOAD, 0, 0, 0),  # the number of the system call
        *((_JUMP_IF_EQUAL, len(calls) - position, 0, number) for position, number in enumerate(calls)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _FAIL),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    filter_program = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, filter_program, 0, 0) == 0, ctypes.get_errno()


sys.addaudithook(_note)
