"""Circuits need the extra ``rtl``."""

from __future__ import annotations

import pytest

pytest.importorskip("amaranth", reason="needs the extra 'rtl'")
