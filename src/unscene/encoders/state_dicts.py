"""Files of weights -> tensors by name. Nothing in a file is ever executed.

A `.safetensors` file holds tensors alone. Others are read by `torch.load(weights_only=True)`, which
knows tensors, numbers, texts, lists and tables, and refuses all that would run code.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from unscene.errors import UnsceneError

Weights = dict[str, Tensor]
# Under which names checkpoints hold their state dict, the likeliest first.
_WRAPPED = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights")


def read_safetensors(path: Path) -> Weights:
    """Read all tensors of a safetensors file. Raises UnsceneError if it is missing or truncated."""
    if not path.is_file():
        raise UnsceneError(f"{path}: no such file; pass a folder or a .safetensors file")
    try:
        return safetensors.torch.load(path.read_bytes())  # load_file takes UTF-8 names only
    except (SafetensorError, OSError) as error:
        raise UnsceneError(
            f"{path}: not a complete safetensors file ({error}); copy or save it again"
        ) from error


def read_file(path: Path) -> Mapping[str, Any]:
    """Read a checkpoint: the table that it holds, with tensors on the CPU.

    Raises:
        UnsceneError: the file is incomplete, is no checkpoint, or holds what would run code.
    """
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # about TorchScript, which is refused below
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for what is no checkpoint
        if isinstance(error, pickle.UnpicklingError) and (
            found := re.search(r"GLOBAL (\S+)", str(error))
        ):
            raise UnsceneError(
                f"{path}: holds an object of {found[1]}, and unscene runs no code from files. If "
                "you trust the file, save its weights alone: torch.save(torch.load(FILE, "
                "weights_only=False)['state_dict'], NEW)"
            ) from error
        if "TorchScript" in str(error):
            raise UnsceneError(
                f"{path}: is a TorchScript program, which runs code; load it in a function and "
                "pass that as --encoder package.module:factory"
            ) from error
        # torch's first line advises weights_only=False, which runs the file's code
        text = str(error).rpartition("WeightsUnpickler error:")[2].strip()
        reason = (text or type(error).__name__).splitlines()[0]
        raise UnsceneError(
            f"{path}: is not a complete file of weights ({type(error).__name__}: {reason}); "
            "download or copy it again"
        ) from error
    if not isinstance(content, Mapping):
        raise UnsceneError(
            f"{path}: holds a {type(content).__name__}, not tensors by name (a state dict)"
        )
    return content


def find_state_dict(content: Mapping[str, Any], path: Path) -> Weights:
    """Find the tensors by name in a checkpoint, which may hold much else.

    Raises:
        UnsceneError: there are none.

    >>> found = find_state_dict({"epoch": 3, "model": {"fc.bias": torch.zeros(2)}}, Path("a.pth"))
    >>> list(found)
    ['fc.bias']
    """
    inner = [content[name] for name in _WRAPPED if isinstance(content.get(name), Mapping)]
    if inner:
        return find_state_dict(inner[0], path)
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise UnsceneError(
            f"{path}: holds no state dict; its entries are {', '.join(map(str, content)) or 'none'}"
        )
    return tensors
