"""Weights -> insight: does this model watch the motion or the scene?

`unscene.audit(...)` is `unscene.audit.run.audit`: this package can be called, since the function of
the public face has the package's name. Its signature and help are those of the function, which is
imported when they are first needed.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def _import_audit() -> Callable[..., Any]:
    from unscene.audit.run import audit

    return audit


class _CallablePackage(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run an audit, see `unscene.audit.run.audit`."""
        return _import_audit()(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(_import_audit())

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        summary, _, rest = inspect.cleandoc(_import_audit().__doc__ or "").partition("\n\n")
        parameters = list(self.__signature__.parameters.values())
        lines = [f"    {one}," for one in parameters]
        named = sum(one.kind is not inspect.Parameter.KEYWORD_ONLY for one in parameters)
        lines.insert(named, "    *,")
        return "\n".join([summary, "", "unscene.audit(", *lines, ")", "", rest])


sys.modules[__name__].__class__ = _CallablePackage
