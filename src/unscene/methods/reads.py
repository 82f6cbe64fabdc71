"""Which settings each method reads: a flag that would change nothing is an error, not a wish. (One
that another setting leaves idle, as `--tasks motion` does `--context_from`, passes.)

Imports no torch. tests/methods/test_reads.py watches the methods at work and holds the table.
"""

from __future__ import annotations

from collections.abc import Iterable

from unscene.errors import UnsceneError

TRAINING = (
    *("optimizer", "lr", "momentum", "weight_decay", "nesterov", "clip_gradient"),
    *("schedule", "drops", "warmup", "epochs", "batch_size"),
)
_VIEWS = ("frames", "stride", "size", "augmentation", "dim")
_MOCO = ("head", "temperature", "twin_momentum", "queue", "queue_of", "batch_negatives")
_DISTURBED = (
    *("basic_on", "warp", "warp_points", "warp_reach", "flow_scaling", "flow_max", "flow"),
    *("shift", "shift_range", "shift_loops", "other_scene"),
)
_STAGES = ("head", "stages", "stage_weights")
_HDC = ("temperature", "contrasts", "sc_pool", "crop_first", "crop_reach")
_MOTION = (
    *("motion_at", "motion_from", "motion_loss", "predictor", "scales"),
    *("predictor_dim", "predictor_hidden", "motion_frames", "motion_gap", "motion_negatives"),
    *("motion_reach", "motion_limit", "motion_corrected", "side_encoders", "temperature"),
)
READS: dict[str, frozenset[str]] = {
    name: frozenset(TRAINING + _VIEWS).union(*parts)
    for name, parts in {
        "moco": (_MOCO,),
        "dsm": (_MOCO, _DISTURBED),
        "dsm-triplet": (("head", "margin"), _DISTURBED),
        "hdc": (_STAGES, _HDC),
        "cmd": (("tasks", "task_weights", "context_from"), _MOTION),
        "unscene": (("foretell", "margin"), _STAGES, _DISTURBED, _MOTION),
    }.items()
}


def check_read(method: str, names: Iterable[str]) -> None:
    """Refuse settings that a method never looks at.

    Args:
        method: a known one.
        names: of settings, those that somebody asked for.

    Raises:
        UnsceneError: says which methods read it.
    """
    for name in names:
        if name not in READS[method]:
            others = [other for other, read in READS.items() if name in read]
            raise UnsceneError(
                f"--{name} changes nothing in {method}, which never reads it; "
                f"it is for {', '.join(others)}. Leave it out, or take another --method"
            )
