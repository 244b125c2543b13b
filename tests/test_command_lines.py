"""Manners of both command lines: help, names that are nearly right, exit codes, JSON, colours, completion."""

from __future__ import annotations

import os
import pty
import re
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import bitmixer.cli
import hwsim.cli
from bitmixer.command_line import PIPE_CLOSED
from hwsim.config.packaged import find
from hwsim.config.schema import DOCUMENTS

ROOT = Path(__file__).parent.parent
PROGRAMS = {"bitmixer": bitmixer.cli, "hwsim": hwsim.cli}


def leaves(program: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command with the names that lead to it."""

    def below(names: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
        if not hasattr(command, "commands") or getattr(command, "invoke_without_command", False):
            yield names, command
        for name, each in getattr(command, "commands", {}).items():
            yield from below((*names, name), each)

    return below((program,), typer.main.get_command(PROGRAMS[program].app))


COMMANDS = [(*names, command) for program in PROGRAMS for names, command in leaves(program)]
NAMED = pytest.mark.parametrize(
    ("names", "command"), [(tuple(names), command) for *names, command in COMMANDS],
    ids=[" ".join(names) for *names, _ in COMMANDS],
)  # fmt: skip


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs a line in this process: exit code, stdout, stderr."""

    def run(line: str) -> tuple[int, str, str]:
        words = shlex.split(line)
        monkeypatch.setattr(sys, "argv", words)
        capsys.readouterr()
        with pytest.raises(SystemExit) as done:
            PROGRAMS[words[0]].main()
        said = capsys.readouterr()
        assert done.value.code is None or isinstance(done.value.code, int)
        return done.value.code or 0, said.out, said.err

    return run


@NAMED
def test_a_command_has_examples_that_its_options_allow(names: tuple[str, ...], command: Any) -> None:
    lines = [line.strip() for line in command.epilog.splitlines() if line.strip() != "Examples:"]
    assert lines
    for line in lines:
        words = shlex.split(line, comments=True)
        if ">" in words:
            words = words[: words.index(">")]
        assert tuple(words[: len(names)]) == names
        if hasattr(command, "commands"):
            continue
        # Any context serves as the parent of those whose options are read.
        given = command.make_context(names[-1], words[len(names) :]).params
        if "scenario" in given and not given["scenario"].endswith(".yaml"):  # a reader's own file
            find("scenarios", given["scenario"])


@NAMED
def test_a_command_prints_json_on_request(names: tuple[str, ...], command: Any) -> None:
    options = {option for each in command.params for option in each.opts}
    assert "--json" in options


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_is_whole(program: str, call: Any) -> None:
    code, shown, _ = call(f"{program} --help")
    assert code == 0
    assert "..." not in shown.replace("[ARGS]...", "")
    for names, command in leaves(program):
        line = command.get_short_help_str(limit=200)
        assert f"{names[1]}  " in shown
        assert "\n" not in line
    assert call(program) == (2, "", shown)
    assert call(f"{program} --version") == (0, f"{program} 0.1.0\n", "")


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_takes_less_than_half_a_second(program: str) -> None:
    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    took = []
    for _ in range(3):
        before = spent()
        subprocess.run([sys.executable, "-m", program, "--help"], check=True, capture_output=True, cwd=ROOT)
        took.append(spent() - before)
    assert min(took) < 0.5, took


@pytest.mark.parametrize(
    ("line", "nearest"),
    [
        ("hwsim runn", "run"),
        ("hwsim profiles shw", "show"),
        ("hwsim run --contoller static thermal_throttle", "--controller"),
        ("hwsim cost --netwrk resnet18", "--network"),
        ("hwsim --versoin", "--version"),
        ("hwsim run thermal_throtle", "thermal_throttle"),
        ("hwsim run scenarios/thermal_throtle.yaml", "thermal_throttle.yaml"),
        ("hwsim compare thermal_throtle", "thermal_throttle"),
        ("hwsim validate thermal_throtle", "thermal_throttle"),
        ("hwsim validate bismo_pynq", "bismo_pynq_z1"),
        ("hwsim profiles show rk3588", "rk3588_npu"),
        ("hwsim run thermal_throttle --controller histeresis", "hysteresis"),
        ("hwsim run thermal_throttle --controller hysteresis:rung=3", "rungs"),
        ("hwsim compare thermal_throttle --controllers static,histeresis", "hysteresis"),
        ("hwsim compare thermal_throttle --controllers static,pid --baseline pidd", "pid"),
        ("hwsim run thermal_throttle --fail-on acuracy>1", "accuracy"),
        ("hwsim run thermal_throttle --set duraton=3", "duration"),
        ("hwsim run thermal_throttle --set streams.0.dedline=3", "deadline"),
        ("hwsim run thermal_throttle --set profile=rk3588", "rk3588_npu"),
        ("hwsim run thermal_throttle --set profile.throtling.poll_period.value=3", "throttling"),
        ("hwsim run thermal_throttle --set streams.0.network=resnet20_cifar", "resnet20_cifar10"),
        ("hwsim cost --network resnet81", "resnet18"),
        ("hwsim cost --array strypes --network resnet18", "stripes"),
        ("hwsim cost --array bismo --set row=3 --network resnet18", "rows"),
        ("hwsim cost --profile unpuu --network resnet18", "unpu"),
        ("hwsim cost --network resnet18 --training e5m3", "e5m2"),
        ("hwsim sweep thermal_throtle", "thermal_throttle"),
        ("hwsim schema scenaro", "scenario"),
        ("bitmixer evalute", "evaluate"),
        ("bitmixer train resnet8_digits --devise cpu", "--device"),
        ("bitmixer train resnet8_digts", "resnet8_digits"),
        ("bitmixer evaluate resnet8_digit", "resnet8_digits"),
        ("bitmixer evaluate resnet8_digits --data digit", "digits"),
        ("bitmixer evaluate resnet8_digits --data digits+nois0.4@7", "noise"),
        ("bitmixer evaluate resnet8_digits --datapath bit_seral", "bit_serial"),
        ("bitmixer export resnet8_digit", "resnet8_digits"),
        ("bitmixer pack resnet8_digit", "resnet8_digits"),
        ("bitmixer download cifar", "cifar10"),
        ("bitmixer search resnet8_digits --budget average_bit<=3", "average_bits"),
        ("bitmixer search resnet8_digits --budget average_bits<=3 --method gredy", "greedy"),
    ],
)  # fmt: skip
def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(line: str, nearest: str, call: Any) -> None:
    code, out, err = call(line.replace("<=", "'<='").replace(">1", "'>1'"))
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert f"did you mean '{nearest}'?" in err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hwsim run", "missing argument 'scenario'; see hwsim run --help"),
        (
            "hwsim run x --seed -1",
            "invalid value for '--seed': Input should be greater than or equal to 0; see hwsim run",
        ),
        ("hwsim run x --seed many", "invalid value for '--seed': Input should be a valid integer"),
        ("hwsim run x y", "got unexpected extra argument(s) (y); see hwsim run --help"),
        ("hwsim run x --seed", "option '--seed' requires an argument"),
        ("hwsim replay nowhere", "nowhere: no such run folder"),
        ("hwsim digest nowhere", "nowhere: no such run folder"),
        ("hwsim report nowhere", "nowhere: no such run folder"),
        ("hwsim cost --layers nowhere.csv", "nowhere.csv: "),
        ("bitmixer search resnet8_digits", "missing option '--budget'"),
    ],
)
def test_a_wrong_call_is_one_line(line: str, message: str, call: Any) -> None:
    code, out, err = call(line)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith(f"error: {message}")


def test_exit_codes_are_documented() -> None:
    told = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
    table = [int(code) for code in re.findall(r"^\| (\d+) \|", told, re.MULTILINE)]
    assert table == [0, 1, 2, 3, 130, PIPE_CLOSED]
    # The help names all but the last, which no command chooses.
    assert [int(code) for code in re.findall(r"^  (\d+)  +", hwsim.cli.app.info.epilog, re.MULTILINE)] == table[:-1]


@pytest.mark.parametrize("command", [["schema", "scenario"], ["profiles", "show", "bismo_pynq_z1"]])
def test_a_reader_that_goes_away_is_no_error(command: list[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "hwsim", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == PIPE_CLOSED


def on_terminal(line: str, **environment: str) -> str:
    """Return what a line writes on stdout and stderr where both are one terminal."""
    surroundings = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", *line.split()], stdout=theirs, stderr=theirs, cwd=ROOT,
        env=surroundings | {"TERM": "xterm-256color"} | environment,
    ):  # fmt: skip
        os.close(theirs)
        said = b""
        while True:
            try:
                read = os.read(ours, 65536)
            except OSError:  # Linux' way to say that the other end was closed
                break
            if not read:
                break
            said += read
    os.close(ours)
    return said.decode()


def test_colours_are_for_terminals_that_want_them() -> None:
    for line in ("hwsim profiles show bismo_pynq_z1", "hwsim digest nowhere"):
        assert "\x1b[31m" in on_terminal(line) or "\x1b[1m" in on_terminal(line)
        assert "\x1b[3" not in on_terminal(line, NO_COLOR="1")
    piped = subprocess.run(
        [sys.executable, "-m", "hwsim", "digest", "nowhere"], capture_output=True, cwd=ROOT, check=False
    )
    assert b"\x1b" not in piped.stderr


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("hwsim profil", ["profiles"]),
        ("hwsim run therm", ["thermal_throttle"]),
        ("hwsim run thermal_throttle --controller hyst", ["hysteresis"]),
        ("hwsim compare thermal_throttle --controllers static,hyst", ["static,hysteresis"]),
        ("hwsim run thermal_throttle --fail-on accur", ["accuracy<", "accuracy>"]),
        ("hwsim run thermal_throttle --set dura", ["duration="]),
        ("hwsim profiles show rk", ["rk3588_npu"]),
        ("hwsim cost --array str", ["stripes"]),
        ("hwsim cost --network resnet8_digits --data dig", ["digits"]),
        ("hwsim validate unpu_", ["unpu_65nm"]),
        ("hwsim schema arr", ["array_profile"]),
        ("bitmixer train bcnn_c", ["bcnn_cifar10"]),
        ("bitmixer evaluate resnet20_c", ["resnet20_cifar10"]),
        ("bitmixer evaluate resnet8_digits --data mn", ["mnist5k"]),
    ],
)
def test_names_complete(
    line: str, offered: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = line.split(maxsplit=1)[0]
    monkeypatch.setenv(f"_{program.upper()}_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    monkeypatch.setattr(sys, "argv", [program])
    with pytest.raises(SystemExit):
        PROGRAMS[program].main()
    assert capsys.readouterr().out.split() == offered


def test_a_shell_gets_its_completion(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_HWSIM_COMPLETE", "source_bash")
    code, script, _ = call("hwsim")
    assert code == 0
    assert "complete -o default -F _hwsim_completion hwsim" in script


def test_all_kinds_of_documents_complete() -> None:
    from hwsim.commands.completion import kinds_of_documents

    assert kinds_of_documents("") == list(DOCUMENTS)
