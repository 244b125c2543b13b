"""How results look in a notebook: small tables that follow its colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def card(title: str, sentences: Iterable[str], *tables: str, folder: object) -> str:
    """Return a heading, sentences, tables, and where it all lies; words are plain text, tables are HTML."""
    paragraphs = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
    place = f"<p><small>in <code>{escape(str(folder))}</code></small></p>"
    return f"<div><strong>{escape(title)}</strong>{paragraphs}{''.join(tables)}{place}</div>"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of texts; the first column stands left, the others right."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(map(_cell, range(len(row)), row))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(column: int, text: str) -> str:
    return f'<td style="text-align: {"right" if column else "left"}">{escape(text)}</td>'
