"""Freed memory is kept where the C library can."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bitmixer.allocation import keep_freed_memory

CODE = """
import resource, sys, torch
from bitmixer.allocation import keep_freed_memory
torch.set_num_threads(1)
kept = keep_freed_memory() if sys.argv[1] == "keep" else None
def step():
    blocks = [torch.empty(2**22).fill_(1.0) for _ in range(8)]
step(), step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(mode: str) -> int:
    done = subprocess.run([sys.executable, "-c", CODE, mode], capture_output=True, text=True, check=True)
    kept, count = done.stdout.split()
    assert kept == ("True" if mode == "keep" else "None")
    return int(count)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_a_step_s_memory_is_used_again_without_page_faults() -> None:
    # Where a process's heap lies is random, and in some places the allocator keeps memory by itself: try a few.
    assert any(page_faults("keep") < page_faults("leave") / 4 for _ in range(8))


def test_without_such_a_library_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitmixer.allocation.ctypes.CDLL", lambda name: object())
    assert keep_freed_memory() is False
