"""Footage that the tests of the audit share."""

from __future__ import annotations

from seeing import scenes  # noqa: F401
