"""Where numbers must not be rounded, whatever precision a training runs in."""

from __future__ import annotations

import torch


def exactly(device: torch.device) -> torch.autocast:
    """A context without autocast: pixels, geometry and products of cosines are made in fp32.

    bf16 has 8 bits: a cosine would be off by up to 0.004, a colour by a level, and products written
    into fp32 tensors would fail.
    """
    return torch.autocast(device.type, enabled=False)
