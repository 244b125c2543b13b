"""Lines of HotSpot's text files, with the place of each word for messages."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hwsim.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a file, and where it stands."""

    text: str
    file: Path
    line: int
    column: int

    def error(self, sentence: str) -> ConfigurationError:
        """Return an error that names the place of this word."""
        return ConfigurationError(f"{self.file}:{self.line}:{self.column}: {sentence}")

    def number(self, what: str, *, least: float = -math.inf, above: float = -math.inf) -> float:
        """Return the word as a number.

        Args:
            what: What the number is, for the message.
            least: Smallest number that is accepted.
            above: All accepted numbers are larger.

        Raises:
            ConfigurationError: It is not a finite number in this range.
        """
        try:
            value = float(self.text)
        except ValueError:
            raise self.error(f"{what} is {self.text!r}: expected a number") from None
        if not math.isfinite(value) or value < least or value <= above:
            bound = f" above {above:g}" if above > -math.inf else f" of {least:g} or more" if least > -math.inf else ""
            raise self.error(f"{what} is {self.text}: expected a finite number{bound}")
        return value


def read_lines(file: Path) -> Iterator[list[Word]]:
    """Yield the words of every line that is neither empty nor a comment (from ``#`` on).

    Raises:
        ConfigurationError: The file cannot be read as text.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ConfigurationError(f"{file}: {reason}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        words = [
            Word(found.group(), file, number, found.start() + 1)
            for found in re.finditer(r"\S+", line.partition("#")[0])
        ]
        if words:
            yield words
