"""The site: every page is in it, what it links to is there, and what it shows as commands are commands."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

import bitmixer
import bitmixer.cli
import hwsim.cli
from hwsim.config.packaged import packaged_names

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(page for page in [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
APPS = {"bitmixer": typer.main.get_command(bitmixer.cli.app), "hwsim": typer.main.get_command(hwsim.cli.app)}
LINK = re.compile(r"\]\((?!https?://|#)([^)\s#]+)(?:#([^)\s]+))?\)")


def of_page(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(text: str) -> set[str]:
    """Return the names by which the headings of a page are linked to, as code-hosting sites make them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        found = page.parent / target
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found.read_text(encoding="utf-8")), f"{target}#{anchor}"


def test_every_page_is_listed_in_the_site() -> None:
    listed = set()
    for page in DOCS.rglob("*.md"):
        for block in re.findall(r"```\{toctree\}(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            names = [line.strip() for line in block.splitlines() if line.strip() and not line.startswith(":")]
            listed |= {(page.parent / f"{name}.md").resolve() for name in names}
    assert listed == {page.resolve() for page in DOCS.rglob("*.md")} - {DOCS / "index.md"}


def test_the_reference_has_all_that_the_package_offers() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md"))
    modules = re.findall(r"automodule:: (\S+)", pages)
    assert len(modules) == len(set(modules))
    documented = [import_module(module) for module in modules]
    for package in (bitmixer, hwsim):
        for name in package.__all__:
            home = import_module(getattr(package, name).__module__)
            assert home in documented or any(name in getattr(module, "__all__", ()) for module in documented), name


def commands(page: Path) -> Iterator[list[str]]:
    """Yield what the shell blocks of a page run of ours, without what is put around it."""
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\|", line):
                words = shlex.split(part, comments=True)
                while words and words[0] not in APPS:
                    words.pop(0)  # python -m, .venv/bin/python, variables
                if words:
                    yield words[: words.index(">")] if ">" in words else words


@pytest.mark.parametrize("page", [page for page in PAGES if any(commands(page))], ids=of_page)
def test_commands_are_taken_by_the_command_line(page: Path) -> None:
    for words in commands(page):
        options = parsed(words)
        scenario = options.get("scenario")
        if scenario is not None and not scenario.endswith(".yaml"):
            assert scenario in packaged_names("scenarios"), words


def test_words_that_are_no_command_are_noticed() -> None:
    for wrong in (
        ["hwsim", "rnu", "thermal_throttle"],
        ["hwsim", "run"],
        ["hwsim", "replay", "runs/a", "--fraem", "3"],
    ):
        with pytest.raises(Exception, match=r"(?i)no such|missing"):
            parsed(wrong)


def parsed(words: list[str]) -> dict[str, Any]:
    """Return the options in words as the command line reads them; nothing is run."""
    name, *rest = words
    command: Any = APPS[name]
    context = command.make_context(name, rest)
    while isinstance(command, TyperGroup):
        rest = [*context._protected_args, *context.args]
        if not rest and command.invoke_without_command:
            break
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
    return dict(context.params)


def test_the_quickstart_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path / "cache"))
    for words in commands(DOCS / "quickstart.md"):
        shortened = [re.sub(r"^duration=.*", "duration=1 s", word) for word in words]
        monkeypatch.setattr(sys, "argv", shortened)
        main = bitmixer.cli.main if words[0] == "bitmixer" else hwsim.cli.main
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
        told = capsys.readouterr()
        assert code == (2 if "runs/typing_error" in words else 0), (words, told)
        assert "typing_error" not in words[-1] or "idle" in told.err
    assert (tmp_path / "runs" / "first" / "report.html").is_file()
