"""Measures what docs/results/controllers.md says, and writes that page from the figures.

Usage (runs that are there are not repeated; about a minute of CPU for 20 runs, the first ones more):
    python docs/results/controllers.py measure [--runs DIR] [--arms a;b] [--seeds 1-30]   # run by run
    python docs/results/controllers.py scenarios [--runs DIR] [--scenarios a;b] [--arms a;b] [--seeds 1-3]
    python docs/results/controllers.py page [--runs DIR]                                # controllers.json, .md and the figure
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import controllers_page
import controllers_regret
import controllers_scenarios

HERE = Path(__file__).parent
TWIN = HERE / "controllers.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("measure", "scenarios", "page"))
    parser.add_argument("--runs", type=Path, default=Path("runs/controllers"))
    parser.add_argument("--scenarios", default=";".join(controllers_scenarios.SCENARIOS))
    parser.add_argument("--arms", help="of measure or scenarios [all]")
    parser.add_argument("--seeds", default="1-30")
    asked = parser.parse_args()
    first, _, last = asked.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    arms = asked.arms.split(";") if asked.arms else []
    asked.runs.mkdir(parents=True, exist_ok=True)
    match asked.what:
        case "measure":
            controllers_regret.measure(asked.runs, arms or list(controllers_regret.ARMS), seeds)
        case "scenarios":
            controllers_scenarios.measure(asked.runs / "scenarios", asked.scenarios.split(";"), arms, seeds)
        case "page":
            if any(asked.runs.glob("*.json")):
                TWIN.write_text(json.dumps(_found(asked.runs), indent=1) + "\n", encoding="utf-8")
            _write_page()


def _found(runs: Path) -> dict[str, Any]:
    from hwsim import provenance

    collected = controllers_regret.collected(runs)
    known = next(own[0] for own in collected.values() if own)
    return {
        "machine": f"{platform.machine()}, CPU, " + ", ".join(map(" ".join, provenance.versions().items())),
        "time": time.strftime("%Y-%m-%d"),
        "drifting_light": {
            "command": "python docs/results/controllers.py measure",
            "rungs_by_data": known["rungs_by_data"],
            "arms": controllers_regret.summarised(collected, controllers_page.BASELINE),
            "not_run": [arm for arm, own in collected.items() if not own],
        },
        "scenarios": controllers_scenarios.collected(runs / "scenarios"),
    }


def _write_page() -> None:
    found = json.loads(TWIN.read_text(encoding="utf-8"))
    controllers_page.draw(found["drifting_light"], HERE.parent / "images" / "controllers_regret.svg")
    (HERE / "controllers.md").write_text(controllers_page.written(found), encoding="utf-8")


if __name__ == "__main__":
    main()
