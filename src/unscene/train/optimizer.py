"""Optimizer, schedule and random numbers of a step, in pre-training and fine-tuning alike."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from unscene.config import OptimizerSettings
from unscene.errors import UnsceneError


def create_optimizer(
    settings: OptimizerSettings,
    parameters: Iterable[nn.Parameter],
    total: int,
    epoch_steps: int,
    *,
    drop_factor: float = 0.1,
) -> dict[str, Any]:
    """Create optimizer and schedule as Lightning's `configure_optimizers` returns them.

    Args:
        settings: of the optimizer.
        parameters: to train.
        total: steps of the run.
        epoch_steps: steps of an epoch.
        drop_factor: what the "step" schedule multiplies the learning rate by.
    """
    s = settings
    optimizer: torch.optim.Optimizer
    if s.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            parameters,
            lr=s.lr,
            momentum=s.momentum,
            weight_decay=s.weight_decay,
            nesterov=s.nesterov,
        )
    else:
        optimizer = torch.optim.AdamW(parameters, lr=s.lr, weight_decay=s.weight_decay)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: compute_lr_factor(s, step, total, epoch_steps, drop_factor=drop_factor),
    )
    return {
        "optimizer": optimizer,
        "lr_scheduler": {"scheduler": scheduler, "interval": "step", "name": "lr"},
    }


def compute_lr_factor(
    settings: OptimizerSettings,
    step: int,
    total: int,
    epoch_steps: int,
    *,
    drop_factor: float = 0.1,
) -> float:
    """Return what the learning rate is multiplied by at a step: warm-up times schedule."""
    warm = settings.warmup * total
    rise = min(1.0, (step + 1) / warm) if warm >= 1 else 1.0
    if settings.schedule == "step":
        return rise * drop_factor ** sum(step >= drop * epoch_steps for drop in settings.drops)
    if settings.schedule == "cosine":
        return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))
    return rise


def make_step_generator(module: L.LightningModule, seed: int) -> torch.Generator:
    """Return a generator for this step and process, so that resuming needs no generator state."""
    entropy = np.random.SeedSequence([seed, module.global_step, module.global_rank])
    return torch.Generator().manual_seed(int(entropy.generate_state(1)[0]))


def check_finite_loss(loss: Tensor, module: L.LightningModule, lr: float, *remedies: str) -> None:
    """Raise UnsceneError if the loss is not finite; it says at which step and what to try.

    Args:
        lr: peak learning rate, before warm-up and schedule.
        remedies: in addition to a smaller learning rate, a longer warm-up and full precision.
    """
    if torch.isfinite(loss):
        return
    rate = module.trainer.optimizers[0].param_groups[0]["lr"]
    others = "".join(f"{remedy}, " for remedy in remedies)
    raise UnsceneError(
        f"the loss became {loss.item()} at step {module.global_step} (learning rate {rate:.3g}). "
        f"Start again in another --out with a smaller --lr (half of {lr:g}), a longer --warmup, "
        f"{others}or --precision 32-true. What this run saved before is kept."
    )
