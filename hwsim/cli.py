"""The command line: which commands there are, and how errors end; a command is a file in ``commands``."""

from __future__ import annotations

import sys

import typer

from bitmixer.errors import BitmixerError
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
from hwsim.errors import HwsimError

app = typer.Typer(
    name="hwsim",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Simulate a bit-serial accelerator on a hot device, with a real network's outputs.",
    epilog="Start here: python -m hwsim run thermal_throttle. Exit codes: 0 done, 1 a --fail-on limit was crossed, "
    "2 bad usage or input, 3 an invariant was broken, 130 interrupted.",
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
app.command()(report)
app.command()(digest)


def main() -> None:
    """Run the command line; errors are one line on stderr and an exit code, never a traceback."""
    try:
        app(prog_name="hwsim", standalone_mode=True)
    except HwsimError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BitmixerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
