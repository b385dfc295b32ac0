"""
Settings of glibc's allocator for a process with many threads.

By default glibc gives the threads of a process up to eight heaps per processor, which keep freed memory. After mixed
load a worker held 160 MiB of unused memory; with these settings it holds about 20 MiB. There are two heaps instead of
one because threads that do not hold the GIL allocate at the same time (docs/decisions/memory.md).
"""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_HEAPS = 2
_MIB = 1024 * 1024
# Larger blocks are mapped separately and unmapped when freed. The 1 MiB blocks that streams use constantly are smaller.
_MAPPED_FROM_BYTES = 4 * _MIB
_KEPT_FREE_BYTES = 8 * _MIB  # at the end of a heap; the rest is returned to the system


def limit_heaps() -> None:
    """Limit the freed memory that the process keeps. Call it before starting threads; does nothing without glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_M_ARENA_MAX, _HEAPS)
    mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE_BYTES)
