"""Follows a run while it goes on, by what it writes in its folder."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.errors import RecordsError
from hwsim.records.live import FILE, SECONDS_BETWEEN_ROWS

SUMMARY = "summary.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A run that is followed.

    Attributes:
        folder: Its folder.
        told: What runs: scenario, controller, duration.
    """

    folder: Path
    told: dict[str, Any]


def find_running(folder: Path, *, patience_seconds: float = 0.0) -> Path:
    """Return the folder of a run: this one if something runs or ran in it, else the youngest running one below.

    Args:
        folder: Where to look.
        patience_seconds: How long to look for a run that is about to begin.

    Raises:
        RecordsError: No run is here.
    """
    until = time.monotonic() + patience_seconds
    while True:
        if (folder / FILE).is_file() or (folder / SUMMARY).is_file():
            return folder
        if running := list(folder.rglob(FILE)):
            return max(running, key=lambda path: path.stat().st_mtime).parent
        if time.monotonic() >= until:
            raise RecordsError(f"{folder}: nothing runs here or below: start hwsim run, or name the run's folder")
        time.sleep(SECONDS_BETWEEN_ROWS)


def follow(
    folder: Path, *, pause: Callable[[float], None] = time.sleep, is_alive: Callable[[int], bool] | None = None
) -> Iterator[tuple[Watched, dict[str, Any]]]:
    """Yield what a run tells, line by line, until it has ended; nothing where it has ended already.

    Args:
        folder: The run's.
        pause: Waits for so many seconds.
        is_alive: Whether a process of this machine still runs.

    Raises:
        RecordsError: Its process is gone, and it did not end.
    """
    path = folder / FILE
    if not path.is_file():
        return
    alive = is_alive or _is_alive
    with path.open(encoding="utf-8") as file:
        watched, rest = None, ""
        while True:
            # Looked at before the lines are read: what a run writes before it ends is read.
            ended = not path.is_file()
            *lines, rest = (rest + file.read()).split("\n")
            for line in lines:
                if watched is None:
                    watched = Watched(folder=folder, told=json.loads(line))
                else:
                    yield watched, json.loads(line)
            if ended:
                return
            is_here = watched is not None and watched.told["machine"] == platform.node()
            if watched is not None and is_here and not alive(watched.told["process"]) and path.is_file():
                raise RecordsError(f"{folder}: the run is gone without an end: it was killed; run it again")
            pause(SECONDS_BETWEEN_ROWS)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sentence(watched: Watched, row: dict[str, Any]) -> str:
    """Return a line as people read it."""
    parts = [f"{row['stage']} {row['share']:.0%}" if row["stage"] else "starting"]
    if "simulated_seconds" in row:
        parts.append(f"{row['simulated_seconds']:.1f} of {watched.told['duration_seconds']:g} s")
        parts.append(f"{row['weight_bits']:.2f} bits")
        if row["die_celsius"] is not None:
            parts.append(f"die {row['die_celsius']:.1f} °C")
        parts.append(f"{row['frequency_hertz'] / 1e6:g} MHz")
        parts.append(f"{row['power_watts']:.2f} W")
        parts.append(f"{row['frames_waiting']} waiting")
        if row["state_of_charge"] is not None:
            parts.append(f"battery {row['state_of_charge']:.0%}")
    if row["frames_ended"]:
        parts.append(f"{row['frames_missed'] / row['frames_ended']:.1%} of {row['frames_ended']} frames late or lost")
    return ", ".join(parts)
