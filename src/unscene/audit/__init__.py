"""Weights -> insight: does this model watch the motion or the scene?

`unscene.audit(...)` is `unscene.audit.run.audit`: this package can be called, since the function of
the public face has the package's name.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run an audit, see `unscene.audit.run.audit`."""
        from unscene.audit.run import audit

        return audit(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage
