"""What the command lines of both packages have in common: help with examples, one-line errors, exit codes."""

from __future__ import annotations

import inspect
import json
import os
import sys
import textwrap
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from bitmixer.errors import BitmixerError, did_you_mean

EXAMPLES = "Examples:"
"""The last section of a command's docstring: a command per line, with what it is for behind a ``#``."""

PIPE_CLOSED = 141
"""Exit code where whoever read the output went away, as shells give it to what ``SIGPIPE`` ends (128 + 13)."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors, and what --json asks for.")]


class Command(TyperCommand):
    """A command whose help ends with examples."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples behind the options, word for word."""
        formatter.write(f"\n{EXAMPLES}\n{textwrap.indent(self.epilog or '', '  ')}\n")


class Group(TyperGroup):
    """Commands by name; a name that none has is answered with the nearest."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the last lines of the help, word for word."""
        formatter.write(f"\n{self.epilog}\n")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what stands before the command; without any argument, help is what is missing."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), err=True)
            raise typer.Exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the first argument names, as its base class does."""
        unknown = not args[0].startswith("-") and self.get_command(ctx, args[0]) is None
        if unknown and not ctx.resilient_parsing:
            ctx.fail(f"no such command {args[0]!r}: {did_you_mean(args[0], self.commands)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a reader that goes away (``| head``) ends it without a word."""
        try:
            done = super().invoke(ctx)
            sys.stdout.flush()
        except (BrokenPipeError, SystemExit):  # the latter is how rich takes the former
            # The interpreter flushes once more as it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(PIPE_CLOSED) from None
        return done


class CommandGroup(typer.Typer):
    """Commands under one name.

    A command is registered by ``app.command()(function)``. Its help is the function's docstring, and ends with the
    docstring's last section, ``Examples:``.

    Args:
        settings: Those of its base class.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(cls=Group, rich_markup_mode=None, pretty_exceptions_enable=False, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        """Return a decorator that registers a function as a command, under its own name unless another is given."""

        def register(function: Callable[..., None]) -> Callable[..., None]:
            told, _, examples = inspect.getdoc(function).partition(f"\n{EXAMPLES}\n")  # type: ignore[union-attr]
            settings.update(cls=Command, help=told.strip(), epilog=inspect.cleandoc(examples))
            return super(CommandGroup, self).command(name, **settings)(function)

        return register


class CommandLine(CommandGroup):
    """The commands of a package.

    Args:
        name: What is typed.
        told: What it is for, in a sentence.
        version: The package's.
        epilog: Last lines of its help, word for word.
    """

    def __init__(self, name: str, told: str, version: str, *, epilog: str) -> None:
        super().__init__(name=name, epilog=epilog, no_args_is_help=True)

        def show_version(asked: bool) -> None:
            if asked:
                print(f"{name} {version}")
                raise typer.Exit

        @self.callback(help=told)
        def options(
            version: bool = typer.Option(  # typer reads the default
                False, "--version", callback=show_version, is_eager=True, help="Print the version."
            ),
        ) -> None: ...

    def run(self, *errors: type[Exception]) -> None:
        """Run the command line: an error is one line on stderr and an exit code, never a traceback.

        Args:
            errors: What the package raises on purpose, beside :class:`BitmixerError` and what the system refuses; an
                error's ``exit_code`` is the process's, 2 if it has none.
        """
        refusals: tuple[type[Exception], ...] = (BitmixerError, OSError, *errors)
        try:
            code = self(prog_name=self.info.name, standalone_mode=False)
        except typer.TyperException as error:
            print_error(_usage_error(error))
            sys.exit(error.exit_code)
        except refusals as error:
            print_error(str(error))
            sys.exit(getattr(error, "exit_code", 2))
        sys.exit(code)


def print_error(message: str) -> None:
    """Print a message on stderr, behind ``error:``, which is red on a terminal unless ``NO_COLOR`` is set."""
    typer.secho("error: ", fg="red", err=True, nl=False, color=False if os.environ.get("NO_COLOR") else None)
    typer.echo(message, err=True)


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


def _usage_error(error: typer.TyperException) -> str:
    """Return what is wrong with a command line in the words of all other errors, and where help is."""
    context = getattr(error, "ctx", None)
    message = error.format_message().rstrip(".")
    message = f"{message[0].lower()}{message[1:]}"
    if context is None:
        return message
    if hasattr(error, "possibilities"):  # an option that there is not
        wrong = getattr(error, "option_name", "")
        options = [option for each in context.command.params for option in each.opts if option.startswith("--")]
        message = f"no such option {wrong}: {did_you_mean(wrong, options)}"
    return f"{message}; see {context.command_path} --help"
