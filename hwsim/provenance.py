"""What a run came from: hashes and versions."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

LIBRARIES = ("numpy", "scipy", "simpy", "pyarrow", "torch")


@cache
def source_sha256(*packages: str) -> str:
    """Return the hash of all Python files of packages, so that a change of code changes what it names."""
    digest = hashlib.sha256()
    for package in packages:
        specification = importlib.util.find_spec(package)
        assert specification is not None
        assert specification.origin is not None
        root = Path(specification.origin).parent
        for file in sorted(root.rglob("*.py")):
            digest.update(file.relative_to(root).as_posix().encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def run_id(resolved: dict[str, Any], checkpoints_sha256: Sequence[str]) -> str:
    """Return the name of a run by its content: scenario, profile, networks, seed and package source."""
    content = [resolved, list(checkpoints_sha256), source_sha256("bitmixer", "hwsim")]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that numbers may depend on."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in LIBRARIES}
