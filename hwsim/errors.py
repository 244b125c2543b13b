"""Everything that hwsim raises on purpose, under one root; each class knows its exit code."""

from __future__ import annotations

from bitmixer.errors import DocumentError


class HwsimError(Exception):
    """Root of all errors of this package; its message says what, where, what was expected, how to mend it."""

    exit_code = 2


class ConfigurationError(HwsimError, DocumentError):
    """Raised when a scenario, profile, option or input file is invalid."""


class RecordsError(HwsimError):
    """Raised when a run folder is missing, incomplete or damaged."""


class InvariantError(HwsimError):
    """Raised when a run breaks a law that must always hold."""

    exit_code = 3


class ControllerError(InvariantError):
    """Raised when a controller raises, hangs, or wants what does not exist; names the controller."""


class ExecutorError(HwsimError):
    """Raised when runs cannot be carried out as processes die."""

    exit_code = 3
