"""Labels are written at once, and can be taken back in the order in which they were given.

Whatever a tab does is one commit of the index before it is answered. All tabs share one history:
undo takes back what was done last, whoever did it. The version grows with every change, so that a
tab that asks for it now and then knows when to read the labels again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

from unscene.errors import UnsceneError
from unscene.explore.answers import Refusal, explain_full_disk
from unscene.search.labels import Label

_Given = TypeVar("_Given")
_LONGEST = 200  # characters of a label
_REMEMBERED = 1000  # changes that can be taken back
_GONE = "this label is not there any more; another tab may have removed it"


class Labelled(Protocol):
    """What is needed of an index."""

    def labels(self) -> list[Label]: ...
    def add_labels(self, labels: Iterable[Label]) -> list[Label]: ...
    def replace_labels(self, labels: Iterable[Label]) -> None: ...
    def remove_labels(self, ids: Iterable[str]) -> None: ...


@dataclass(frozen=True)
class Step:
    """One label before and after a change; None: there was, or is, none."""

    before: Label | None
    after: Label | None

    def reverse(self) -> Step:
        return Step(self.after, self.before)


Change = Sequence[Step]  # what is done, and taken back, at once


def describe_change(change: Change) -> str:
    """Say what a change does, for the page.

    >>> label = Label("/clips/a.mp4", 1.0, 2.5, "jump")
    >>> describe_change([Step(None, label)])
    "add 'jump' at 1.0-2.5 s of a.mp4"
    >>> describe_change([Step(label, None)] * 3)
    "remove 3 labels ('jump')"
    """
    kinds = {(step.before is None, step.after is None) for step in change}
    verb = {(True, False): "add", (False, True): "remove"}.get(min(kinds), "change")
    verb = verb if len(kinds) == 1 else "change"
    shown = [label for step in change if (label := step.after or step.before) is not None]
    if len(shown) > 1:
        names = ", ".join(repr(name) for name in sorted({label.label for label in shown})[:3])
        return f"{verb} {len(shown)} labels ({names})"
    (label,) = shown
    place = f"at {label.start:.1f}-{label.end:.1f} s of {Path(label.path).name}"
    before = change[0].before
    if verb == "change" and before is not None:
        return f"change {before.label!r} to {label.label!r} {place}"
    return f"{verb} {label.label!r} {place}"


class Labelling:
    """The labels of an index, its changes and its version."""

    def __init__(self, index: Labelled) -> None:
        self.index = index
        self.lock = threading.RLock()
        self.version = 1
        self._undo: list[Change] = []
        self._redo: list[Change] = []
        self._ids: dict[str, str] = {}  # a label that was removed and added again has a new id
        self._known: list[Label] | None = None

    def read(self) -> list[Label]:
        """All labels."""
        with self.lock:
            if self._known is None:
                self._known = self.index.labels()
            return list(self._known)

    def look_again(self) -> int:
        """Read labels that another process may have written; the version afterwards."""
        with self.lock:
            found = self.index.labels()
            if self._known is not None and found != self._known:
                self.version += 1
            self._known = found
            return self.version

    def touch(self) -> int:
        """Tell all tabs to look again, because what is derived from labels changed."""
        with self.lock:
            self.version += 1
            return self.version

    def history(self) -> dict[str, str | None]:
        """What undo and redo would do; None: there is nothing."""
        with self.lock:
            undo = describe_change(_reverse(self._undo[-1])) if self._undo else None
            return {"undo": undo, "redo": describe_change(self._redo[-1]) if self._redo else None}

    def add(self, labels: Sequence[Label]) -> list[Label]:
        """Add labels, in one step of undo; they have their ids afterwards.

        A label of the very same stretch is replaced.
        """
        with self.lock:
            there = {(one.path, one.start, one.end): one for one in self.read()}
            checked = {(one.path, one.start, one.end): _check(one) for one in labels}
            steps = [Step(there.get(place), one) for place, one in checked.items()]
            fresh = [s.before is None or replace(s.before, id="") != s.after for s in steps]
            new = [step for step, is_new in zip(steps, fresh, strict=True) if is_new]
            written = iter(self._do(new)) if new else iter(())
            return [
                next(written) if is_new or step.before is None else step.before
                for step, is_new in zip(steps, fresh, strict=True)
            ]

    def replace(self, id: str, label: Label) -> Label:
        """Put a label in the place of another one; it replaces labels of its very same stretch."""
        with self.lock:
            new = _check(label)
            covered = [
                Step(one, None)
                for one in self.read()
                if one.id != id and (one.path, one.start, one.end) == (new.path, new.start, new.end)
            ]
            return self._do([Step(self._find(id), new), *covered])[0]

    def remove(self, ids: Sequence[str]) -> list[Label]:
        """Remove labels, in one step of undo."""
        with self.lock:
            return self._do([Step(self._find(id), None) for id in dict.fromkeys(ids)])

    def undo(self) -> str | None:
        """Take back the last change; what was done, None: there is nothing to take back."""
        return self._move(self._undo, self._redo, undone=True)

    def redo(self) -> str | None:
        """Do again what was taken back last."""
        return self._move(self._redo, self._undo, undone=False)

    def _find(self, id: str) -> Label:
        found = next((label for label in self.read() if label.id == id), None)
        if found is None:
            raise Refusal(404, _GONE)
        return found

    def _do(self, change: Change) -> list[Label]:
        if not change:
            raise Refusal(422, "no label is named; select a moment or a label first")
        with self.lock:
            done = self._write(change)
            self._undo.append(done)
            del self._undo[:-_REMEMBERED]
            self._redo.clear()
            return [label for step in done if (label := step.after or step.before) is not None]

    def _move(self, source: list[Change], target: list[Change], *, undone: bool) -> str | None:
        with self.lock:
            if not source:
                return None
            change = source[-1]
            wanted = _reverse(change) if undone else change
            try:
                done = self._write([Step(self._now(s.before), self._now(s.after)) for s in wanted])
            except Refusal as error:
                if error.status == 404:  # it cannot be taken back any more
                    source.pop()
                raise
            source.pop()
            target.append(_reverse(done) if undone else done)
            return describe_change(wanted)

    def _now(self, label: Label | None) -> Label | None:
        """A label under the id that it has now."""
        if label is None:
            return None
        id = label.id
        while id in self._ids:
            id = self._ids[id]
        return replace(label, id=id)

    def _write(self, change: Change) -> Change:
        """Write a change; the same change, with the ids that the labels have afterwards."""
        self.look_again()  # all tabs are told what another process did
        there = {one.id for one in self.read()}
        if any(step.before is not None and step.before.id not in there for step in change):
            raise Refusal(404, _GONE)
        fresh = [
            replace(s.after, id="") for s in change if s.before is None and s.after is not None
        ]
        gone = [s.before.id for s in change if s.before is not None and s.after is None]
        changed = [
            replace(s.after, id=s.before.id)
            for s in change
            if s.before is not None and s.after is not None
        ]
        self._known = None
        if changed:
            _explain(lambda: self.index.replace_labels(changed))
        added = iter(_explain(lambda: self.index.add_labels(fresh)) if fresh else [])
        if gone:
            _explain(lambda: self.index.remove_labels(gone))
        done: list[Step] = []
        for step in change:
            before, after = step.before, step.after
            if before is None and after is not None:
                after = next(added)
                if step.after is not None and step.after.id not in ("", after.id):
                    self._ids[step.after.id] = after.id
            elif before is not None and after is not None:
                after = replace(after, id=before.id)
            done.append(Step(before, after))
        self.version += 1
        return done


def _reverse(change: Change) -> Change:
    return [step.reverse() for step in change]


def _check(label: Label) -> Label:
    text = " ".join(label.label.split())
    if not text:
        raise Refusal(422, "the label is empty; type a name for what happens there")
    if len(text) > _LONGEST:
        raise Refusal(422, f"the label has {len(text)} characters; {_LONGEST} are allowed")
    if not 0 <= label.start < label.end:
        raise Refusal(
            422, f"{label.start:.2f} to {label.end:.2f} s: a label must end after it begins"
        )
    return replace(label, label=text)


def _explain(write: Callable[[], _Given]) -> _Given:
    """Write, and say so where it failed and nothing was written."""
    try:
        return write()
    except (UnsceneError, OSError, RuntimeError, ValueError) as error:
        if explain_full_disk(error):
            raise Refusal(
                507,
                "the disk is full, so this label was not written; all labels before it are safe. "
                "Free some space and label it again",
            ) from error
        if isinstance(error, UnsceneError):
            raise
        raise Refusal(
            500, f"the label was not written ({error}); those before it are safe. Try again"
        ) from error
