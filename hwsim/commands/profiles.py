"""``hwsim profiles``: devices and arrays, and where their numbers come from."""

from __future__ import annotations

from typing import Annotated

import typer

profiles_app = typer.Typer(
    help="The profiles of devices and arrays.", invoke_without_command=True, rich_markup_mode=None
)


@profiles_app.callback()
def profiles(context: typer.Context) -> None:
    """List the packaged profiles, of devices and of arrays."""
    if context.invoked_subcommand is None:
        from hwsim.config.array_profile import load_any_profile
        from hwsim.config.packaged import packaged_names
        from hwsim.config.provenance import count_assumptions, provenance

        for name in (*packaged_names("profiles"), *packaged_names("profiles/arrays")):
            profile = load_any_profile(name)
            numbers = len(provenance(profile))
            print(f"{name}: {profile.description} ({numbers} numbers, {count_assumptions(profile)} assumed)")


@profiles_app.command("show")
def show_profile(name: Annotated[str, typer.Argument(help="Packaged name or path.")]) -> None:
    """Print every number of a profile with its source, or why it was assumed and in which range."""
    from hwsim.config.array_profile import load_any_profile
    from hwsim.config.provenance import provenance
    from hwsim.report.terminal import print_provenance

    print_provenance(provenance(load_any_profile(name)))
