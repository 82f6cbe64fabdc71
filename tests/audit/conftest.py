"""Footage that the tests of the audit share."""

from __future__ import annotations

from controls import places  # noqa: F401
from seeing import scenes  # noqa: F401
