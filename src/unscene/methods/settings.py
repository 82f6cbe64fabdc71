"""Every number a method and its training can be set by.

This file imports no torch, so that the command line can name methods and defaults at once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from unscene.errors import UnsceneError
from unscene.methods.typed import kind_of


@dataclass(frozen=True)
class Settings:
    """Views, head, loss and optimiser of a contrastive method.

    Attributes:
        frames: T, how many frames a clip has.
        stride: distance of a clip's neighbouring frames, in frames of the video.
        size: side of the square views in pixels.
        augmentation: preset of the basic augmentation.
        basic_on: "anchor" (the paper: a = b(c1), p = s(c2), n = t(c3)) or "all" three views.
        warp: spatial local disturbance of the positive.
        warp_points: control points along a side of the frame; N is its square.
        warp_reach: C, reach of the offsets in normalised units (0.2 is a tenth of the frame).
        flow_scaling: the negative's motion is scaled by phi(t) ~ U[0, flow_max] (eq. 3).
        flow_max: largest factor of the negative's motion; 1 leaves it as it is.
        shift: the negative is shifted in time (eq. 4).
        shift_range: least and most frames of the video that the negative is shifted by.
        shift_loops: a negative that is shifted past the end goes on at the beginning (eq. 4), and
            jumps there; false: both clips lie where that does not happen, if there is room.
        flow: where flow comes from: "dis" (in the workers), the "codec"'s vectors, or "auto": the
            vectors where they are exact and their blocks small beside the picture, DIS elsewhere.
        dim: D, length of the embedding.
        head: "linear" (the paper) or "mlp" (two layers, as MoCo v2).
        temperature: tau; the smaller, the more the nearest negatives count.
        twin_momentum: m, how much of itself the momentum encoder keeps at every step.
        queue: K, how many earlier embeddings are negatives; 0 takes an eighth of the videos, at
            most 4096. A queue that holds earlier keys of the videos it is compared with makes
            false negatives of them.
        queue_of: whose features fill the queue: "anchor" (DSM) or "key" (MoCo).
        batch_negatives: the batch's other videos are negatives too. Their keys are as old as the
            positive and came through the same pass; those of the queue are not, and an anchor can
            tell its positive from them by that alone.
        margin: of the triplet loss, eq. 5.
        other_scene: how often what moves in the positive stands over another video's scene, 0..1.
        foretell: weight of CMD's motion prediction beside unscene's triplets; 0: none.
        contrasts: what HDC contrasts: "spatial" (two views of one clip), "temporal" (of two
            windows), "both", or "entangled" (one contrast of views that differ in time and in
            space).
        stages: HDC contrasts so many of the encoder's last stages; 1 is no hierarchy.
        stage_weights: alpha_k = beta_k of HDC's stages, shallow to deep; the last `stages` count,
            and 0 leaves a stage out.
        sc_pool: "2d" pools H and W for the spatial contrast, which then pairs time steps; "3d" all.
        crop_first: HDC cuts its two windows first and augments each by itself; false: it augments
            the video, both windows alike, and cuts then.
        crop_reach: HDC's two windows begin at most so many frames of the video apart.
        tasks: what CMD learns: "context" (which key frame belongs to the clip), "motion" (what
            moves where, `motion_gap` frames later), or "both".
        task_weights: weights of CMD's losses, the context's and the motion's.
        motion_at: CMD predicts the motion of the "future", or of the "present" (the clip's end).
        motion_from: what CMD's motion is: the codec's "vectors", those and what they leave
            unexplained ("vectors+residual"), optical "flow" (DIS), or the "difference" of
            neighbouring frames.
        motion_loss: what CMD predicts: "nce" (find the motion's feature), or "l2" (its
            values; the squared error as a share of the mean squared motion).
        context_from: what CMD's context is: a "key" frame of the stream, or "any" frame.
        predictor: what foretells CMD's motion from the clip.
        scales: how a ResNet's last two maps come together for CMD's predictor: "sum" or "concat".
        predictor_dim: width of CMD's predictor; a multiple of 8 for the transformer.
        predictor_hidden: width of the hidden layer of CMD's heads.
        motion_frames: F, how many frames the motion to be predicted has.
        motion_gap: frames from the clip's last to the motion's first.
        motion_negatives: motion windows of the same video at other times.
        motion_reach: how far the `motion_negatives` begin from the clip, in frames of the video.
        motion_limit: pixels a frame; motion is clamped to it and divided by it.
        motion_corrected: false repeats two slips of CMD's authors: a flip does not negate the x
            of a vector, and a crop does not rescale it.
        side_encoders: the encoders of CMD's motion and key frames: "full" (R3D-10, ResNet-10) or
            "narrow".
        optimizer: what makes steps of gradients.
        lr: learning rate at its highest, before `schedule` lowers it.
        momentum: that of SGD; AdamW does not look at it.
        weight_decay: how strongly weights are drawn to zero.
        nesterov: SGD's momentum looks ahead.
        clip_gradient: largest norm of the gradient; 0: any.
        schedule: "step" multiplies lr by 0.1 at `drops`, "cosine" goes to zero, "constant" stays.
        drops: epochs after which the "step" schedule lowers lr.
        warmup: share of all steps in which lr rises from zero.
        epochs: how often the training sees every video.
        batch_size: clips in a batch of one process; all together see it times their number.
    """

    frames: int = 16
    stride: int = 4
    size: int = 112
    augmentation: Literal["paper", "mild", "modern", "cmd", "none"] = "paper"
    basic_on: Literal["anchor", "all"] = "anchor"
    warp: bool = False
    warp_points: int = 5
    warp_reach: float = 0.2
    flow_scaling: bool = False
    flow_max: float = 5.0
    shift: bool = False
    shift_range: tuple[int, int] = (2, 20)
    shift_loops: bool = True
    flow: Literal["auto", "dis", "codec"] = "dis"
    dim: int = 128
    head: Literal["linear", "mlp"] = "linear"
    temperature: float = 0.07
    twin_momentum: float = 0.99
    queue: int = 6536
    queue_of: Literal["anchor", "key"] = "anchor"
    batch_negatives: bool = False
    margin: float = 0.5
    other_scene: float = 0.0
    foretell: float = 0.0
    contrasts: Literal["both", "spatial", "temporal", "entangled"] = "both"
    stages: int = 3
    stage_weights: tuple[float, ...] = (0.25, 0.5, 1.0)
    sc_pool: Literal["2d", "3d"] = "2d"
    crop_first: bool = True
    crop_reach: int = 250
    tasks: Literal["both", "context", "motion"] = "both"
    task_weights: tuple[float, float] = (1.0, 1.0)
    motion_at: Literal["future", "present"] = "future"
    motion_from: Literal["vectors", "vectors+residual", "flow", "difference"] = "vectors"
    motion_loss: Literal["nce", "l2"] = "nce"
    context_from: Literal["key", "any"] = "key"
    predictor: Literal["transformer", "linear"] = "transformer"
    scales: Literal["sum", "concat"] = "sum"
    predictor_dim: int = 512
    predictor_hidden: int = 2048
    motion_frames: int = 8
    motion_gap: int = 3
    motion_negatives: int = 3
    motion_reach: int = 64
    motion_limit: float = 10.0
    motion_corrected: bool = True
    side_encoders: Literal["full", "narrow"] = "full"
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.003
    momentum: float = 0.9
    weight_decay: float = 5e-4
    nesterov: bool = False
    clip_gradient: float = 0.0
    schedule: Literal["step", "cosine", "constant"] = "step"
    drops: tuple[int, ...] = (80, 120, 160)
    warmup: float = 0.0
    epochs: int = 200
    batch_size: int = 128

    def __post_init__(self) -> None:
        counts = ("frames", "stride", "size", "dim", "stages", "epochs", "batch_size")
        for name in (*counts, "predictor_dim", "predictor_hidden", "motion_frames", "motion_gap"):
            _require(self, name, getattr(self, name) >= 1, "must be at least 1")
        for name in ("temperature", "lr", "motion_limit"):
            _require(self, name, getattr(self, name) > 0, "must be above 0")
        from_zero = ("margin", "weight_decay", "warp_reach", "flow_max", "momentum", "queue")
        cmd = ("motion_negatives", "motion_reach", "clip_gradient", "foretell")
        for name in (*from_zero, *cmd, "crop_reach"):
            _require(self, name, getattr(self, name) >= 0, "must not be negative")
        weights = self.stage_weights[-self.stages :]
        counted = len(weights) == self.stages and all(weight >= 0 for weight in weights)
        remedy = f"the last {self.stages}, as many as --stages, must be 0 or more, and not all 0"
        _require(self, "stage_weights", counted and any(weights), remedy)
        positive = all(weight > 0 for weight in self.task_weights)
        _require(self, "task_weights", positive, "must be two numbers above 0; see --tasks")
        divides = self.predictor_dim % 8 == 0 or self.predictor == "linear"
        _require(self, "predictor_dim", divides, "must be a multiple of 8, the transformer's heads")
        _require(self, "warp_points", self.warp_points >= 2, "must be at least 2")
        _require(self, "twin_momentum", 0 <= self.twin_momentum <= 1, "must lie in 0..1")
        _require(self, "other_scene", 0 <= self.other_scene <= 1, "must lie in 0..1")
        _require(self, "warmup", 0 <= self.warmup < 1, "must lie in 0..1")
        low, high = self.shift_range
        _require(self, "shift_range", 0 <= low <= high, "must be two counts, first <= second")
        for name, hint in get_type_hints(Settings).items():
            if get_origin(hint) is Literal:
                value = getattr(self, name)
                _require(self, name, value in get_args(hint), f"must be {kind_of(hint)}")
        _require(
            self, "frames", self.frames >= 2 or not self.flow_scaling, "flow scaling needs 2 frames"
        )


def _require(settings: Settings, name: str, holds: bool, remedy: str) -> None:
    if not holds:
        raise UnsceneError(f"{name} {getattr(settings, name)!r}: {remedy}")


def as_plain(settings: Settings) -> dict[str, Any]:
    """Settings as JSON and YAML types."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items()}
