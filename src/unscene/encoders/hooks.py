"""Running a module that knows nothing of us, and finding feature, map and logits in what it does.

One clip of zeros goes through; what every submodule puts out is noted. From these notes:

    feature   what the classifier (fc, head, heads, classifier) is given; without one, the output
    map       the last output with time, height and width: channels first or, as Swin has them, last
              tokens: the last (B, N, D) with as many tokens as the patch embedding has places, and
              up to 8 more at the front, which are class tokens
    logits    the output, where there is a classifier

From then on only the submodules that matter are listened to.
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
_Shape = tuple[str, tuple[int, ...]]  # of what a submodule puts out, and the submodule's name
_HEADS = ("fc", "head", "heads", "classifier")
_CLASS_TOKENS = 8  # at most, registers among them


@dataclass(frozen=True)
class Read:
    """What was found while a model ran on B clips.

    Attributes:
        features: (B, D).
        logits: (B, K), None if there are none.
        source: what the maps are made of and the model went on with (maps, Swin's with channels
            last, tokens), so that it has a gradient; None if there are none.
        arrange: what makes maps of a tensor shaped like the source.
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
class _Place:
    """Where maps come out: the submodule and how its output is to be read."""

    layer: str
    kind: Literal["first", "last", "tokens"]  # where the channels are, or that they are tokens
    grid: Grid | None = None


class Hooks:
    """Reads a module or a function; see the head of this file.

    Args:
        model: takes one tensor.
        axes: of that tensor.
        head, layer, grid: as of `foreign.adapt`.
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
        self.place: _Place | None = None
        self.why: str | None = None  # None until one clip went through

    def __call__(self, clip_BCTHW: Tensor) -> Read:
        if self.why is None:
            self._explore(clip_BCTHW)
        wanted = [] if self.place is None else [self.place.layer]
        heard: list[Tensor] = []
        output, given = self._run(clip_BCTHW, wanted, lambda name, out: heard.append(out))
        return self._understand(len(clip_BCTHW), output, heard, given)

    def _run(
        self, clip: Tensor, layers: list[str], hear: Callable[[str, Tensor], None]
    ) -> tuple[Any, Tensor | None]:
        """The output, and what the head was given; `hear` is called with what the named submodules
        put out, in the order of time."""
        given: list[Tensor] = []

        def listen(name: str) -> Callable[..., None]:
            def hook(module: nn.Module, inputs: Any, output: Any) -> None:
                if isinstance(output, Tensor) and output.is_floating_point():
                    hear(name, output)

            return hook

        def note(module: nn.Module, inputs: Any) -> None:
            given.append(inputs[0])

        with ExitStack() as hooks:
            for name in layers:
                handle = self.modules[name].register_forward_hook(listen(name))
                hooks.callback(handle.remove)
            if self.head is not None:
                hooks.callback(self.modules[self.head].register_forward_pre_hook(note).remove)
            output = self.model(self._arranged(clip))
        return output, given[-1] if given else None

    def _arranged(self, clip: Tensor) -> Tensor:
        if self.axes == "BCTHW":
            return clip
        frames = clip.transpose(1, 2)
        return frames if self.axes == "BTCHW" else frames.flatten(0, 1)

    def _explore(self, clip: Tensor) -> None:
        """Find out where maps come out, on one clip."""
        names = [name for name in self.modules if name]
        heard: list[_Shape] = []  # not the outputs themselves: of a large model they are many GB
        output, given = self._run(clip, names, lambda n, out: heard.append((n, tuple(out.shape))))
        features = self._pooled(len(clip), self._feature(output, given))
        dim = features.shape[1]
        places = [p for name, out in heard if (p := self._placed(name, out, dim)) is not None]
        tokens = [(name, out) for name, out in heard if len(out) == 3 and out[1] > 1]
        patches = self._last(places, heard, dim)
        if self.layer is not None:
            places = [place for place in places if place.layer == self.layer]
            tokens = [found for found in tokens if found[0] == self.layer]
        self.place, self.why = self._choose(places, tokens, patches, heard, dim)

    def _choose(
        self,
        places: list[_Place],
        tokens: Sequence[_Shape],
        patches: _Place | None,
        heard: list[_Shape],
        dim: int,
    ) -> tuple[_Place | None, str]:
        """Among places and tokens; `patches`: the last map of all, on whose grid tokens lie."""
        last = {name: k for k, (name, _) in enumerate(heard)}
        map_ = self._last(places, heard, dim)
        # Tokens after the last map: the map was their patch embedding.
        after = [t for t in tokens if map_ is None or last[t[0]] > last[map_.layer]]
        if after:
            grid = self.grid or (self._grid(patches, heard) if patches is not None else None)
            for name, out in reversed(after):
                extra = out[1] - math.prod(grid) if grid is not None else -1
                if 0 <= extra <= _CLASS_TOKENS:
                    return _Place(name, "tokens", grid), ""
            return None, (
                f"{after[-1][1][1]} tokens, and not known how they lie in time and space: "
                "pass grid=(T', H', W')"
            )
        if map_ is None:
            return None, (
                "puts out no feature map: pass layer= with the name of a submodule, or return a "
                'mapping with "maps"'
            )
        return map_, ""

    def _last(self, places: list[_Place], heard: list[_Shape], dim: int) -> _Place | None:
        """The last of them, rather one that is as wide as the feature."""
        wide = [place for place in places if self._channels(place, heard) == dim]
        return next(reversed(wide or places), None)

    def _placed(self, name: str, out: tuple[int, ...], dim: int) -> _Place | None:
        """How an output can be read as a map, if it has places side by side."""
        if len(out) != (4 if self.axes == "BCHW" else 5):
            return None
        kind: Literal["first", "last"] = "first"
        if out[1] != dim and out[-1] == dim:
            kind = "last"
        space = out[-2:] if kind == "first" else out[-3:-1]
        return _Place(name, kind) if math.prod(space) > 1 else None

    def _channels(self, place: _Place, heard: list[_Shape]) -> int:
        out = dict(heard)[place.layer]
        return out[1] if place.kind == "first" else out[-1]

    def _grid(self, place: _Place, heard: list[_Shape]) -> Grid:
        out = dict(heard)[place.layer]
        space = out[2:] if place.kind == "first" else out[1:-1]
        t, h, w = (1, *space) if len(space) == 2 else space
        return t, h, w

    def _understand(
        self, batch: int, output: Any, heard: list[Tensor], given: Tensor | None
    ) -> Read:
        features = self._pooled(batch, self._feature(output, given))
        logits = None
        if isinstance(output, Mapping) and isinstance(output.get("logits"), Tensor):
            logits = self._pooled(batch, output["logits"])
        elif given is not None and not isinstance(self.modules[self.head or ""], nn.Identity):
            logits = self._pooled(batch, _tensor(output))
        maps = output.get("maps") if isinstance(output, Mapping) else None
        if maps is None and self.place is not None and heard:
            arrange = partial(self._map, batch, self.place)
            return Read(features, logits, heard[-1], arrange)
        if maps is None and self.head is None and _tensor(output).ndim == 5:
            maps = _tensor(output)
        return Read(features, logits, maps, why=self.why or "")

    def _feature(self, output: Any, given: Tensor | None) -> Tensor:
        return given if given is not None else _tensor(output)

    def _pooled(self, batch: int, found: Tensor) -> Tensor:
        """(B, D) of whatever was found: averaged over tokens, over time and space, over frames."""
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

    def _map(self, batch: int, place: _Place, out: Tensor) -> Tensor:
        if place.kind == "tokens":
            assert place.grid is not None
            extra = out.shape[1] - math.prod(place.grid)
            out = out[:, extra:].unflatten(1, place.grid).movedim(-1, 1)
            if self.axes == "BCHW":
                out = out.squeeze(2)
        elif place.kind == "last":
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
    """The module that runs: the model itself, or the one whose method it is."""
    owner = getattr(model, "__self__", model)
    return owner if isinstance(owner, nn.Module) else None


def tensors(model: object) -> Iterator[Tensor]:
    """Parameters and buffers of the module that runs, if there is one."""
    if (module := module_of(model)) is not None:
        yield from module.parameters()
        yield from module.buffers()


def _classifies(module: nn.Module | None) -> bool:
    """Whether a submodule is a classifier, or has taken the place of one."""
    if module is None:
        return False
    return any(isinstance(m, nn.Linear | nn.Conv3d | nn.Identity) for m in module.modules())


def _tensor(output: Any) -> Tensor:
    """The tensor in what a model returns."""
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
