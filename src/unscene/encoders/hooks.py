"""Read features, maps and logits from any torch module with forward hooks.

In: a module or function and a clip. Out: a `ModelOutput`.

The first clip goes through with a hook on every submodule that records the shape of its output:

    feature   the input of the classifier (fc, head, heads, classifier); without one, the output
    map       the last output with time, height and width, channels first or, as in Swin, last;
              or tokens: the last (B, N, D) with as many tokens as the patch embedding has
              positions, and up to 8 more at the front, which are class tokens
    logits    the output, if there is a classifier

After that only the submodules that matter have hooks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from unscene.errors import UnsceneError

Axes = Literal["BCTHW", "BTCHW", "BCHW"]
Grid = tuple[int, int, int]
_Shape = tuple[str, tuple[int, ...]]  # name of a submodule and shape of its output
_HEADS = ("fc", "head", "heads", "classifier")
_CLASS_TOKENS = 8  # at most, register tokens included


@dataclass(frozen=True)
class ModelOutput:
    """Features, logits and maps of a model that ran on B clips.

    Attributes:
        features: (B, D).
        logits: (B, K), None if there are none.
        source: the tensor from which maps are made (maps, maps with channels last, or tokens). The
            model continues with this very tensor, so it has a gradient. None if there are no maps.
        arrange: turns a tensor shaped like the source into maps.
        why: why there are no maps, and what to do.
    """

    features: Tensor
    logits: Tensor | None = None
    source: Tensor | None = None
    arrange: Callable[[Tensor], Tensor] = lambda source: source
    why: str = ""

    @property
    def maps(self) -> Tensor | None:
        """(B, D, T', H', W'), None if there are none."""
        return None if self.source is None else self.arrange(self.source)


@dataclass(frozen=True)
class _MapLocation:
    """The submodule that puts out maps, and the layout of its output."""

    layer: str
    kind: Literal["first", "last", "tokens"]  # position of the channels, or tokens
    grid: Grid | None = None


class HookReader:
    """Reads a module or a function; see the header of this file.

    Args:
        model: takes one tensor.
        axes: of that tensor.
        head, layer, grid: see `foreign.adapt`.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        axes: Axes,
        *,
        head: str | None,
        layer: str | None,
        grid: Grid | None,
    ) -> None:
        if axes not in get_args(Axes):
            raise UnsceneError(f"axes {axes!r}: must be one of {', '.join(get_args(Axes))}")
        self.model, self.axes, self.grid = model, axes, grid
        self.modules = dict(model.named_modules()) if isinstance(model, nn.Module) else {}
        self.head = self._head(head)
        if layer is not None and layer not in self.modules:
            raise UnsceneError(f"no submodule is called {layer!r}: see named_modules()")
        self.layer = layer
        self.location: _MapLocation | None = None
        self.why: str | None = None  # None before the first clip

    def forget_maps(self) -> None:
        """Find the maps anew with the next clip, which may have another size."""
        self.location, self.why = None, None

    def __call__(self, clip_BCTHW: Tensor) -> ModelOutput:
        if self.why is None:
            self._find_maps(clip_BCTHW)
        wanted = [] if self.location is None else [self.location.layer]
        outputs: list[Tensor] = []
        output, head_input = self._run(clip_BCTHW, wanted, lambda name, out: outputs.append(out))
        # Not len(): torch.export would take it for the same number in every batch.
        return self._collect(clip_BCTHW.shape[0], output, outputs, head_input)

    def _run(
        self, clip: Tensor, layers: list[str], record: Callable[[str, Tensor], None]
    ) -> tuple[Any, Tensor | None]:
        """Return the model's output and the input of the head; call `record` with the outputs of
        the named submodules, in the order in which they run."""
        inputs_of_head: list[Tensor] = []

        def make_hook(name: str) -> Callable[..., None]:
            def hook(module: nn.Module, inputs: Any, output: Any) -> None:
                if isinstance(output, Tensor) and output.is_floating_point():
                    record(name, output)

            return hook

        def record_input(module: nn.Module, inputs: Any) -> None:
            inputs_of_head.append(inputs[0])

        with ExitStack() as hooks:
            for name in layers:
                handle = self.modules[name].register_forward_hook(make_hook(name))
                hooks.callback(handle.remove)
            if self.head is not None:
                hooks.callback(
                    self.modules[self.head].register_forward_pre_hook(record_input).remove
                )
            output = self.model(self._arrange(clip))
        return output, inputs_of_head[-1] if inputs_of_head else None

    def _arrange(self, clip: Tensor) -> Tensor:
        if self.axes == "BCTHW":
            return clip
        frames = clip.transpose(1, 2)
        return frames if self.axes == "BTCHW" else frames.flatten(0, 1)

    def _find_maps(self, clip: Tensor) -> None:
        """Find the submodule that puts out maps, with one clip."""
        names = [name for name in self.modules if name]
        outputs: list[_Shape] = []  # not the tensors, which take many GB for a large model
        output, head_input = self._run(
            clip, names, lambda n, out: outputs.append((n, tuple(out.shape)))
        )
        features = self._pool(clip.shape[0], self._feature(output, head_input))
        dim = features.shape[1]
        locations = [
            p for name, out in outputs if (p := self._as_map_location(name, out, dim)) is not None
        ]
        tokens = [(name, out) for name, out in outputs if len(out) == 3 and out[1] > 1]
        patches = self._last(locations, outputs, dim)
        if self.layer is not None:
            locations = [location for location in locations if location.layer == self.layer]
            tokens = [found for found in tokens if found[0] == self.layer]
        self.location, self.why = self._choose(locations, tokens, patches, outputs, dim)

    def _choose(
        self,
        locations: list[_MapLocation],
        tokens: Sequence[_Shape],
        patches: _MapLocation | None,
        outputs: list[_Shape],
        dim: int,
    ) -> tuple[_MapLocation | None, str]:
        """Choose between maps and tokens; the last map of all, `patches`, has the tokens' grid."""
        last = {name: k for k, (name, _) in enumerate(outputs)}
        last_map = self._last(locations, outputs, dim)
        # If tokens come after the last map, that map is their patch embedding.
        after = [t for t in tokens if last_map is None or last[t[0]] > last[last_map.layer]]
        if after:
            grid = self.grid or (self._grid(patches, outputs) if patches is not None else None)
            for name, out in reversed(after):
                extra = out[1] - math.prod(grid) if grid is not None else -1
                if 0 <= extra <= _CLASS_TOKENS:
                    return _MapLocation(name, "tokens", grid), ""
            return None, (
                f"{after[-1][1][1]} tokens, and their order in time and space is not known: "
                "pass grid=(T', H', W')"
            )
        if last_map is None:
            return None, (
                "puts out no feature map: pass layer= with the name of a submodule, or return a "
                'mapping with "maps"'
            )
        return last_map, ""

    def _last(
        self, locations: list[_MapLocation], outputs: list[_Shape], dim: int
    ) -> _MapLocation | None:
        """Choose the last one, preferably with as many channels as the feature."""
        wide = [location for location in locations if self._channels(location, outputs) == dim]
        return next(reversed(wide or locations), None)

    def _as_map_location(self, name: str, out: tuple[int, ...], dim: int) -> _MapLocation | None:
        """Describe how to read an output as a map; None if it has a single position in space."""
        if len(out) != (4 if self.axes == "BCHW" else 5):
            return None
        kind: Literal["first", "last"] = "first"
        if out[1] != dim and out[-1] == dim:
            kind = "last"
        space = out[-2:] if kind == "first" else out[-3:-1]
        return _MapLocation(name, kind) if math.prod(space) > 1 else None

    def _channels(self, location: _MapLocation, outputs: list[_Shape]) -> int:
        out = dict(outputs)[location.layer]
        return out[1] if location.kind == "first" else out[-1]

    def _grid(self, location: _MapLocation, outputs: list[_Shape]) -> Grid:
        out = dict(outputs)[location.layer]
        space = out[2:] if location.kind == "first" else out[1:-1]
        t, h, w = (1, *space) if len(space) == 2 else space
        return t, h, w

    def _collect(
        self, batch: int, output: Any, outputs: list[Tensor], head_input: Tensor | None
    ) -> ModelOutput:
        features = self._pool(batch, self._feature(output, head_input))
        logits = None
        if isinstance(output, Mapping) and isinstance(output.get("logits"), Tensor):
            logits = self._pool(batch, output["logits"])
        elif head_input is not None and not isinstance(self.modules[self.head or ""], nn.Identity):
            logits = self._pool(batch, _tensor(output))
        maps = output.get("maps") if isinstance(output, Mapping) else None
        if maps is None and self.location is not None and outputs:
            arrange = partial(self._extract_map, batch, self.location)
            return ModelOutput(features, logits, outputs[-1], arrange)
        if maps is None and self.head is None and _tensor(output).ndim == 5:
            maps = _tensor(output)
        return ModelOutput(features, logits, maps, why=self.why or "")

    def _feature(self, output: Any, head_input: Tensor | None) -> Tensor:
        return head_input if head_input is not None else _tensor(output)

    def _pool(self, batch: int, found: Tensor) -> Tensor:
        """Average over tokens, over time and space, or over frames, to (B, D)."""
        if found.ndim < 2:
            raise UnsceneError(
                f"{batch} clips gave a feature of shape {tuple(found.shape)}; it must begin with "
                "the batch"
            )
        if found.ndim == 3:
            found = found.mean(dim=1)
        elif found.ndim > 3:
            wide = getattr(self.model, "num_features", None)
            last = found.shape[-1] == wide and found.shape[1] != wide
            found = found.flatten(1, -2).mean(dim=1) if last else found.flatten(2).mean(dim=2)
        if self.axes == "BCHW" and found.ndim == 2:
            found = found.unflatten(0, (batch, -1)).mean(dim=1)
        return found

    def _extract_map(self, batch: int, location: _MapLocation, out: Tensor) -> Tensor:
        if location.kind == "tokens":
            assert location.grid is not None
            extra = out.shape[1] - math.prod(location.grid)
            out = out[:, extra:].unflatten(1, location.grid).movedim(-1, 1)
            if self.axes == "BCHW":
                out = out.squeeze(2)
        elif location.kind == "last":
            out = out.movedim(-1, 1)
        if self.axes == "BCHW":
            return out.unflatten(0, (batch, -1)).transpose(1, 2)
        return out

    def _head(self, name: str | None) -> str | None:
        if name is None:
            return next((known for known in _HEADS if _classifies(self.modules.get(known))), None)
        if name and name not in self.modules:
            raise UnsceneError(f"no submodule is called {name!r}: see named_modules()")
        return name or None


def module_of(model: object) -> nn.Module | None:
    """Return the module that runs: the model, or the owner of the method; None for functions."""
    owner = getattr(model, "__self__", model)
    return owner if isinstance(owner, nn.Module) else None


def tensors(model: object) -> Iterator[Tensor]:
    """Iterate over the parameters and buffers of the module that runs, if there is one."""
    if (module := module_of(model)) is not None:
        yield from module.parameters()
        yield from module.buffers()


def _classifies(module: nn.Module | None) -> bool:
    """Whether a submodule is a classifier or has replaced one."""
    if module is None:
        return False
    return any(isinstance(m, nn.Linear | nn.Conv3d | nn.Identity) for m in module.modules())


def _tensor(output: Any) -> Tensor:
    """Find the tensor in the return value of a model."""
    if isinstance(output, Mapping):
        output = next((output[k] for k in ("features", "logits", "maps") if k in output), output)
    if isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        raise UnsceneError(
            f"returns {type(output).__name__}; it must return a tensor, or a mapping with "
            '"features", "maps" or "logits"'
        )
    if not torch.is_floating_point(output):
        raise UnsceneError(f"returns {output.dtype}; features are floating point numbers")
    return output
