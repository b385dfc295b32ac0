"""
Settings of glibc's allocator for a process with many threads.

By default glibc gives the threads of a process up to eight heaps for each processor, and keeps in them what was freed.
After mixed load a worker held 160 MiB that nothing used; with these settings it holds some 20 MiB. Two heaps and not one:
threads that wait for no GIL allocate at the same time (docs/decisions/memory.md).
"""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_HEAPS = 2
_MIB = 1024 * 1024
# Larger blocks are mapped on their own and unmapped at once. Those that streams use all the time (1 MiB) are not.
_MAPPED_FROM_BYTES = 4 * _MIB
_KEPT_FREE_BYTES = 8 * _MIB  # at the end of a heap; more goes back to the system


def limit_heaps() -> None:
    """Bound what freed memory a process keeps; to be called before it starts threads. Does nothing without glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_M_ARENA_MAX, _HEAPS)
    mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE_BYTES)
