"""What all pages share: their frame, their style, and how numbers get into them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

_HERE = files("hwsim.report.page")


def rendered(name: str, content: Mapping[str, Any]) -> str:
    """Return a page that needs nothing but itself.

    Args:
        name: Of its template and of its script, which follows the one that all pages share.
        content: What the template shows.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=FunctionLoader(_text)
    )
    script = Markup(_text("drawing.js") + _text(f"{name}.js"))
    template = environment.get_template(f"{name}.html.jinja")
    return template.render(style=Markup(_text("page.css")), script=script, **content)


def embedded(drawn: Mapping[str, Any]) -> Markup:
    """Return what a page draws as JSON within its HTML."""
    return Markup(json.dumps(drawn, separators=(",", ":")).replace("</", "<\\/"))


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
