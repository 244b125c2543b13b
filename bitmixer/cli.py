"""The command line: which commands there are; a command is a file in ``commands``."""

from __future__ import annotations

import bitmixer
from bitmixer.command_line import CommandLine
from bitmixer.commands.download import download
from bitmixer.commands.evaluate import evaluate
from bitmixer.commands.export import export
from bitmixer.commands.import_network import import_network
from bitmixer.commands.list_networks import list_networks
from bitmixer.commands.pack import pack
from bitmixer.commands.search import search
from bitmixer.commands.train import train

app = CommandLine(
    "bitmixer",
    "Networks whose layers change their bit-width at run time.",
    bitmixer.__version__,
    epilog="""\
Start here:
  bitmixer evaluate resnet8_digits --random 20

Exit codes:
  0 done; 2 bad usage or input; 130 interrupted (what was finished is kept)""",
)
app.command()(train)
app.command("list")(list_networks)
app.command()(evaluate)
app.command()(search)
app.command()(pack)
app.command()(export)
app.command("import")(import_network)
app.command()(download)


def main() -> None:
    """Run the command line."""
    app.run()
