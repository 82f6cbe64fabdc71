"""What happens around the steps of a run: progress, checkpoints, stopping with Ctrl-C."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
from torch import Tensor
from tqdm import tqdm

from unscene.data.catalog import Skipped
from unscene.encoders import EncoderSpec, save_encoder
from unscene.encoders.checkpoints import SPEC
from unscene.errors import UnsceneError
from unscene.files import write_atomically, write_text
from unscene.progress import progress_bar
from unscene.signals import STOPS, Stopped, forget_request, handle_stops, request_stop
from unscene.train.module import PretrainModule
from unscene.train.preflight import CHECKPOINT, PROCESSES, VIDEOS

Report = Callable[[int, int, dict[str, float]], None]


class Progress(L.Callback):
    """Shows a bar with loss, clips/s, share of time spent waiting for data, and time left.

    Args:
        total: steps of the whole run.
        report: called as report(step, total, metrics) instead of drawing a bar.
        name: in front of the bar.

    Attributes:
        beside: further numbers, kept up to date by others and shown at the end of the bar.
    """

    def __init__(
        self, total: int, report: Report | None = None, name: str = "pre-training"
    ) -> None:
        self.total, self.report, self.name = total, report, name
        self.beside: dict[str, float] = {}
        self.waited = 0.0
        self.clips = 0
        self.steps = 0
        self._recent: deque[tuple[float, int]] = deque(maxlen=50)
        self._bar: tqdm[Any] | None = None
        self._before = 0.0
        self.started = self._last = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds from the first step to the last, earlier parts of a resumed run included."""
        return self._before + self._last - self.started

    @property
    def waiting(self) -> float:
        """Share of those seconds spent waiting for data, 0..1."""
        return self.waited / max(self.seconds, 1e-9)

    @property
    def clips_per_second(self) -> float:
        """Clips per second over the last 50 steps, of all processes."""
        if len(self._recent) < 2:
            return 0.0
        seconds = self._recent[-1][0] - self._recent[0][0]
        return sum(count for _, count in list(self._recent)[1:]) / max(seconds, 1e-9)

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "waited": self.waited, "clips": self.clips}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._before, self.waited = state_dict["seconds"], state_dict["waited"]
        self.clips = state_dict["clips"]

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if self.report is None and trainer.is_global_zero:
            self._bar = progress_bar(self.name, self.total, "step", initial=trainer.global_step)

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        if self.steps == 0:
            self.started = now  # starting the workers does not count as waiting
        else:
            self.waited += now - self._last

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._last = time.perf_counter()
        self.steps += 1
        count = len(batch) * trainer.world_size
        self.clips += count
        self._recent.append((self._last, count))
        if self.report is not None:
            metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
            self.report(trainer.global_step, self.total, metrics)
        if self._bar is not None:
            shown = [
                f"loss {float(outputs['loss']):.3f}, {self.clips_per_second:.0f} clips/s",
                f"waiting {self.waiting:.0%}",
                *(f"{name} {value:.2f}" for name, value in self.beside.items()),
            ]
            self._bar.set_postfix_str(", ".join(shown), refresh=False)
            self._bar.update(1)
        module.log_dict(
            {"clips_per_second": self.clips_per_second, "waiting": self.waiting}, batch_size=1
        )

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._close()

    def on_exception(
        self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class Checkpoints(L.Callback):
    """Writes OUT/last.ckpt every `every` steps, when the run is stopped, and when it ends.

    Also when it fails between two steps, where its state is whole: while it reads data. The file is
    written to a temporary name and renamed, so that a full disk or a crash leaves the previous
    checkpoint intact.
    """

    def __init__(self, out: Path, every: int) -> None:
        self.out, self.every = out, every
        self.saved = -1
        self._computes = False  # a step
        self._before = 0.0
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds of the run, earlier parts of a resumed run included."""
        return self._before + time.perf_counter() - self._started

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._before = state_dict["seconds"]

    def on_save_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[PROCESSES] = trainer.world_size

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._started = time.perf_counter()

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._computes = True

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._computes = False
        if trainer.global_step % self.every == 0 or trainer.should_stop:
            self.save(trainer, module)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.global_step != self.saved:
            self.save(trainer, module)

    def on_exception(
        self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException
    ) -> None:
        step, alone = trainer.global_step, trainer.world_size == 1
        if isinstance(exception, Stopped):
            if step != self.saved:
                self.save(trainer, module)
        elif isinstance(exception, Exception) and alone and not self._computes and step > 0:
            if step != self.saved:
                self.save(trainer, module)
            print(f"{self.out}: step {step} is saved; continue with --resume", file=sys.stderr)

    def save(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        target = self.out / CHECKPOINT
        if trainer.is_global_zero:
            self._write(trainer, module, target)
        else:
            trainer.save_checkpoint(target)  # writes nothing; the first process waits
        # A process that continued might look for the encoder before it is there.
        trainer.strategy.barrier("saved")
        self.saved = trainer.global_step

    def _write(self, trainer: L.Trainer, module: L.LightningModule, target: Path) -> None:
        try:
            with write_atomically(target) as temporary:
                trainer.save_checkpoint(temporary)
            self.beside(trainer, module)
        except (OSError, UnsceneError) as error:  # save_encoder turns an OSError into its own error
            reason = getattr(error, "strerror", None) or error
            kept = f"step {self.saved}" if self.saved >= 0 else "none in this folder yet"
            raise UnsceneError(
                f"{target}: cannot be written at step {trainer.global_step} ({reason}). The last "
                f"checkpoint ({kept}) is untouched; free some space and --resume."
            ) from error

    def beside(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Write further files with a checkpoint; in the first process only."""


class Saver(Checkpoints):
    """Also writes OUT/encoder.safetensors and OUT/encoder.json, with steps and seconds.

    The checkpoint holds `videos` (see `preflight.identify_videos`), the videos that failed, and the
    encoder's spec, so that `--encoder last.ckpt` works without the other files.
    """

    def __init__(self, out: Path, every: int, trained_on: dict[str, Any], videos: Tensor) -> None:
        super().__init__(out, every)
        self.trained_on, self.videos = trained_on, videos

    def on_save_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        assert isinstance(module, PretrainModule)
        super().on_save_checkpoint(trainer, module, checkpoint)
        checkpoint[VIDEOS] = self.videos
        checkpoint[SPEC] = self._describe_encoder(trainer, module).to_json()
        checkpoint["failed"] = [(f.path, f.reason) for f in module.failures.values()]

    def on_load_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        assert isinstance(module, PretrainModule)
        for path, reason in checkpoint.get("failed", ()):
            module.failures[path] = Skipped(path, reason)

    def beside(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, PretrainModule)
        module.method.encoder.spec = self._describe_encoder(trainer, module)
        save_encoder(module.method.encoder, self.out)

    def _describe_encoder(self, trainer: L.Trainer, module: PretrainModule) -> EncoderSpec:
        settings = module.settings
        facts = {"steps": trainer.global_step, "seconds": round(self.seconds, 3)}
        return replace(
            module.method.encoder.spec,
            frames=settings.frames,
            stride=settings.stride,
            size=settings.size,
            trained_on=self.trained_on | facts,
        )


class StopOnSignal(L.Callback):
    """Ends the run after the current step at the first Ctrl-C or SIGTERM; the run is saved.

    A run of one process that waits for data, or measures something on the side, ends at once. It
    stands before all others in the list of callbacks: they see `trainer.should_stop`.
    """

    def __init__(self) -> None:
        self.stopped = False
        self._listens = False
        self._alone = True

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._alone = trainer.world_size == 1
        # Lightning has installed its own handler for SIGTERM, which would end the run unsaved.
        if self._listens:
            for name in STOPS:
                signal.signal(name, self._stop)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        # All processes must stop at the same step, or some would wait for the others forever.
        if trainer.strategy.reduce_boolean_decision(self.stopped, all=False):
            trainer.should_stop = True

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catch the signals inside the block; a second Ctrl-C interrupts at once."""
        self._listens = threading.current_thread() is threading.main_thread()
        try:
            with handle_stops(self._stop):
                yield
        finally:
            forget_request()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.stopped:
            raise KeyboardInterrupt
        self.stopped = True
        print("\nstopping after this step (press Ctrl-C again to stop at once) ...", flush=True)
        if self._alone:  # others would wait for this process at their next exchange
            request_stop()


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Write the summary of a run as JSON."""
    write_text(path, json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
