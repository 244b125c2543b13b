"""How Sphinx builds the site; the command is in .ci/run, what it needs in the extra ``docs``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.addnodes import pending_xref

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

sys.path.insert(0, str(Path(__file__).parent.parent))
from hwsim import __version__

project = "bitmixer and hwsim"
author = "the authors of bitmixer and hwsim"
release = __version__
html_title = project
html_theme = "furo"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 4  # headings are linked to as on a code-hosting site
highlight_language = "none"  # of fences that name no language

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_numpy_docstring = False
napoleon_attr_annotations = False  # types stand in signatures
napoleon_use_ivar = True  # attributes are listed where the class is described
# Types in signatures are aliases, and those of other libraries; all else that is referred to must exist.
nitpick_ignore_regex = [("py:class", ".*"), ("py:exc", "gymnasium.*")]
suppress_warnings = ["misc.highlighting_failure"]  # Pygments has no lexer for CSV


def _as_mathml(translator: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers draw themselves: no script, no network, dark and light."""
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    translator.body.append(convert(node.astext(), display=display))
    raise nodes.SkipNode


def _keep_colons(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Keep Napoleon from taking what stands before a colon for a type: it looks at a first line alone."""
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]  # a comment


def _name_pages_by_their_titles(app: Sphinx, tree: nodes.document) -> None:
    """Let a link whose words are a file's name, as they are in the repository, be called as the page is."""
    for link in tree.findall(pending_xref):
        if link.astext().endswith(".md"):
            link["refexplicit"] = False
            link.clear()


def setup(app: Sphinx) -> None:
    """Register how formulas, docstrings of attributes and links are written."""
    app.add_html_math_renderer("mathml", inline_renderers=(_as_mathml, None), block_renderers=(_as_mathml, None))
    app.connect("autodoc-process-docstring", _keep_colons, priority=400)  # Napoleon's is 500
    app.connect("doctree-read", _name_pages_by_their_titles)
