"""Where tests find real footage, and what those that draw at random draw."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

# Before torch is there: `make test` runs as many tests at once as there are cores, and threads that
# wait for each other on them are slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test asks the network

import pytest
from hypothesis import HealthCheck, settings

from tiny_runs import flags, moving, tiny  # noqa: F401

pytest_plugins = ["browsing", "clip_fixtures", "video_fixtures"]

# `make test &` in a script ignores Ctrl-C, which tests send to runs: children would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A test run judges a change, so it draws the same examples every time; new ones are looked for with
# `make search`, and what that finds stays as an @example.
_SLOW = [HealthCheck.too_slow]  # says something about the machine only
settings.register_profile("fixed", derandomize=True, deadline=None, suppress_health_check=_SLOW)
settings.register_profile("search", max_examples=2000, deadline=None, suppress_health_check=_SLOW)
settings.load_profile("fixed")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """What a test draws from torch's own generator, its fixtures included, does not hang on which
    tests ran before it in its process."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def footage_root() -> Path:
    """Folder of real videos ($UNSCENE_DATA or ../shared/data); tests skip where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ.get("UNSCENE_DATA", default))
    if not root.is_dir():
        pytest.skip(f"no real footage at {root} (UNSCENE_DATA)")
    return root
