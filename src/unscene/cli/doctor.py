"""`unscene doctor`: versions, devices, codecs, what is missing and how to get it."""

from __future__ import annotations

import os
import platform
import shutil
from importlib import import_module, metadata
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from unscene import __version__
from unscene.progress import format_size

HELP = "show versions, devices and codecs, and what is missing"
_NEEDED = (
    "torch", "lightning", "av", "numpy", "jsonargparse", "opencv-python-headless", "numba",
    "safetensors", "scikit-learn", "scipy", "matplotlib", "jinja2", "tensorboard", "tqdm", "PyYAML",
)  # fmt: skip
_MODULES = {"opencv-python-headless": "cv2", "scikit-learn": "sklearn", "PyYAML": "yaml"}
_DECODERS = ("h264", "hevc", "mpeg4", "mpeg2video", "vp8", "vp9", "libdav1d", "av1")


def flags(parser: ArgumentParser) -> None:
    """Add the flag."""
    parser.add_argument(
        "--card",
        type=str | None,
        metavar="NAME",
        help="print the model card of an encoder that comes with unscene, and nothing else",
    )


def run(values: Namespace) -> int:
    if values.card is not None:
        from unscene.encoders.shipped import read_card

        print(read_card(values.card))
        return 0
    text, healthy = check_installation()
    print(text)
    return 0 if healthy else 1


def check_installation() -> tuple[str, bool]:
    """Write a report on the installation; the second value is whether all that is needed works."""
    sections = (_packages(), _devices(), _codecs(), _encoders(), _footage(), _completion())
    text = "\n\n".join(text for text, _ in sections)
    healthy = all(good for _, good in sections)
    verdict = (
        "everything that is needed works"
        if healthy
        else "something that is needed is missing, see above"
    )
    return f"{text}\n\n{verdict}", healthy


def _packages() -> tuple[str, bool]:
    lines = [f"unscene {__version__}, Python {platform.python_version()}, {platform.platform()}"]
    good = True
    for name in _NEEDED:
        module = _MODULES.get(name, name)
        try:
            import_module(module)
            lines.append(f"  {name:<24}{metadata.version(name)}")
        except (ImportError, OSError, metadata.PackageNotFoundError) as error:
            good = False
            lines.append(f"  {name:<24}MISSING ({error}); pip install {name}")
    return "\n".join(lines), good


def _devices() -> tuple[str, bool]:
    try:
        import torch
    except ImportError:
        return "devices: unknown without torch", False
    from unscene.data.processes import count_cores

    lines = [
        f"devices: CPU with {count_cores()} cores, torch uses {torch.get_num_threads()} threads"
    ]
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            found = torch.cuda.get_device_properties(i)
            lines.append(f"  GPU {i}: {found.name}, {found.total_memory / 2**30:.0f} GiB")
    else:
        build = torch.version.cuda
        reason = (
            f"torch is built for CUDA {build}, but no GPU or driver is visible"
            if build
            else "this torch is a CPU build"
        )
        lines.append(f"  no GPU: {reason}. Small encoders (r3d-narrow) train on a CPU.")
    free = shutil.disk_usage(".").free / 2**30
    lines.append(f"  disk: {free:.0f} GiB free in this folder")
    return "\n".join(lines), True


def _codecs() -> tuple[str, bool]:
    try:
        import av
        from av.codec.codec import UnknownCodecError

        from unscene.video.probe import VECTOR_CODECS
    except ImportError as error:
        return f"codecs: unknown without PyAV ({error})", False
    version = ".".join(map(str, av.library_versions["libavcodec"]))
    lines = [f"codecs (FFmpeg's libavcodec {version}, inside PyAV {av.__version__})"]
    decodes = False
    for name in _DECODERS:
        try:
            av.codec.Codec(name, "r")
        except (UnknownCodecError, ValueError):
            lines.append(f"  {name:<12}cannot be decoded by this FFmpeg")
            continue
        decodes = True
        vectors = "motion vectors" if name in VECTOR_CODECS else "no motion vectors"
        lines.append(f"  {name:<12}decodes, {vectors}")
    try:
        av.codec.Codec("libx264", "w")
        lines.append("  libx264     encodes (`unscene demo`, `scenes` and `prepare`)")
    except (UnknownCodecError, ValueError):
        lines.append(
            "  libx264     MISSING: `unscene demo`, `scenes` and `prepare` need it; pip install av"
        )
        decodes = False
    return "\n".join(lines), decodes


def _encoders() -> tuple[str, bool]:
    try:
        from unscene.encoders.shipped import FOLDER, known_shipped
    except ImportError as error:  # torch, which all encoders need
        return f"encoders that come with unscene: unknown ({error})", False
    lines = [
        f"  {name:<16}{format_size((FOLDER / f'{name}.safetensors').stat().st_size)}; "
        f"`unscene doctor --card {name}` prints its model card"
        for name in known_shipped()
    ]
    return "\n".join(["encoders that come with unscene", *(lines or ["  none"])]), True


def _footage() -> tuple[str, bool]:
    home = Path(os.environ.get("UNSCENE_DATA", "../shared/data"))
    state = "found" if home.is_dir() else "not found (tests on real footage are skipped)"
    return f"real footage for tests ($UNSCENE_DATA): {home} {state}", True


def _completion() -> tuple[str, bool]:
    try:
        metadata.version("shtab")
    except metadata.PackageNotFoundError:
        return "shell completion: pip install 'unscene[completion]'", True
    return (
        "shell completion: unscene --print_completion=shtab-bash > "
        "~/.local/share/bash-completion/completions/unscene (or zsh)"
    ), True
