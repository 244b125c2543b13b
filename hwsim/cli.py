"""The command line: which commands there are, and how errors end; a command is a file in ``commands``."""

from __future__ import annotations

import hwsim
from bitmixer.command_line import CommandLine
from hwsim.commands.area import area
from hwsim.commands.compare import compare
from hwsim.commands.controllers import controllers
from hwsim.commands.cost import cost
from hwsim.commands.digest import digest
from hwsim.commands.profiles import profiles_app
from hwsim.commands.replay import replay
from hwsim.commands.report import report
from hwsim.commands.run import run
from hwsim.commands.schema import schema
from hwsim.commands.sweep import sweep
from hwsim.commands.thermal import thermal
from hwsim.commands.validate import validate
from hwsim.commands.watch import watch
from hwsim.errors import HwsimError

app = CommandLine(
    "hwsim",
    "Simulate a bit-serial accelerator on a hot device, with a real network's outputs.",
    hwsim.__version__,
    epilog="""\
Start here (python -m hwsim is the same):
  hwsim run thermal_throttle
  hwsim COMMAND --help

Exit codes:
  0    done
  1    done, but a --fail-on limit was crossed
  2    bad usage or input
  3    an invariant was broken, or what was recorded does not hold
  130  interrupted; what was finished is kept""",
)
app.command()(run)
app.command()(replay)
app.command()(compare)
app.command()(sweep)
app.command()(validate)
app.add_typer(profiles_app, name="profiles")
app.command()(controllers)
app.command()(cost)
app.command()(thermal)
app.command()(area)
app.command()(schema)
app.command()(watch)
app.command()(report)
app.command()(digest)


def main() -> None:
    """Run the command line."""
    app.run(HwsimError)
