"""Memory of a process that serves: nothing of it on the disk, and what was used comes back."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import resource
import sys
import time

#: Of prctl(2): whether the process may be dumped, and its memory looked at by its own user.
_PR_SET_DUMPABLE = 4
#: Of mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
#: Blocks of this size go back to the system as soon as they are free: most pieces of bodies.
_LARGE_BYTES = 256 * 1024
#: So much free memory at the end of an arena is kept while there is work: a body's pieces come and go there, and pages that
#: the system gives and takes back for each of them cost more than the copying.
_KEPT_BYTES = 8 << 20
#: Work is over when the process has used less than this share of a core for so long; it is worth a look after so much of it.
_LOOK_EVERY_S, _QUIET_SHARE, _WORTH_CPU_S = 0.25, 0.1, 0.2
_ARENAS = 2
#: So many objects more than before are worth a look for circles; Python's own 700 come with less than two requests.
_YOUNG_OBJECTS = 2000


def keep_memory_private() -> None:
    """No core dump of this process or of a child of it, whatever ends it; no debugger of the same user.

    A limit of zero isn't enough where a program takes cores by a pipe: that one is told by the kernel not to.
    (CONTRACT 6, promise 2: keys, secrets and patients' bytes are in it.)
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def give_memory_back() -> None:
    """What many bodies held at one time isn't kept for the next time. Elsewhere than on glibc all stays as it is."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_ARENA_MAX, _ARENAS)


async def give_rest_back() -> None:
    """For as long as it runs: whenever the process has worked and rests, what is free anywhere in its memory goes back."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return
    before_s = given_back_s = time.process_time()
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        now_s = time.process_time()
        if now_s - before_s < _QUIET_SHARE * _LOOK_EVERY_S and now_s - given_back_s > _WORTH_CPU_S:
            await asyncio.to_thread(trim, 0)
            given_back_s = now_s = time.process_time()
        before_s = now_s


def pass_over_what_stays() -> None:
    """Once all is made, and nobody asks yet: from now on Python's search for garbage looks only at what comes.

    Modules, classes and services are some ninety thousand objects, which stay. To go through all of them takes 50 ms,
    in which no request is answered, and that comes again with every thousand files.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)
