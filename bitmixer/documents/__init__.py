"""Documents that people write: YAML 1.2 read into typed models, with every error placed in its line."""

from bitmixer.documents.section import KeyPath, Problem, Section, Text, key_of, shown
from bitmixer.documents.source import (
    Override,
    Tree,
    load_document,
    nearest_files,
    parse,
    read_text,
    read_tree,
    replace,
    validate,
)

__all__ = [
    "KeyPath",
    "Override",
    "Problem",
    "Section",
    "Text",
    "Tree",
    "key_of",
    "load_document",
    "nearest_files",
    "parse",
    "read_text",
    "read_tree",
    "replace",
    "shown",
    "validate",
]
