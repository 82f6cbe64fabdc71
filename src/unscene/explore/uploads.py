"""Clips that somebody dropped into the page: checked, decoded elsewhere, kept for an hour.

bytes -> a file, at most so many      -> a process with limits -> H.264 -> query, player
         (counted while they arrive)     (upload_process)
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import BinaryIO

from unscene.explore import upload_process
from unscene.explore.answers import Refusal, explain_full_disk

_KEPT_SECONDS = 3600.0
_KEPT = 32  # uploads
_AT_ONCE = 2  # that are decoded
_LOOK = 60.0  # seconds between two looks for old ones
_CUT = "cut out the few seconds that show the motion"


@dataclass(frozen=True)
class Upload:
    """A clip that was uploaded.

    Attributes:
        key: by which the page names it; nobody can guess it.
        path: of the H.264 that was made from it.
        name: of the file, as its owner calls it; only shown.
        duration, fps: in seconds, and frames per second.
        at: when it came.
    """

    key: str
    path: Path
    name: str
    duration: float
    fps: float
    at: float = field(default_factory=time.monotonic)


class Uploads:
    """Uploads by key.

    Args:
        folder: for their files.
        limit: bytes.
        seconds: until the decoding process is killed.
        memory: bytes that the decoding process may take.
    """

    def __init__(
        self,
        folder: Path,
        limit: int = 200 << 20,
        seconds: float = upload_process.SECONDS,
        memory: int = upload_process.MEMORY,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.limit = folder, limit
        self.seconds, self.memory = seconds, memory
        self._uploads: dict[str, Upload] = {}
        self._lock = threading.Lock()
        self._decoding = threading.BoundedSemaphore(_AT_ONCE)
        self._closed = threading.Event()
        threading.Thread(target=self._remove_now_and_then, daemon=True).start()

    def receive(self, file: BinaryIO, name: str) -> Upload:
        """Decode a file that was uploaded and keep the result.

        Args:
            file: what came.
            name: as its owner calls it.

        Raises:
            Refusal: it is empty or no video, or takes too long or too much memory.
        """
        name = PurePath(name.replace("\\", "/")).name.replace("\0", "")[:120] or "clip"
        if not self._decoding.acquire(timeout=self.seconds):
            raise Refusal(503, f"{name}: other clips are being read; try again in a moment")
        key = secrets.token_urlsafe(16)
        raw, made = self.folder / f"{key}.upload", self.folder / f"{key}.mp4"
        try:
            self._store(file, raw, name)
            found = self._decode(raw, made, name)
        except BaseException as error:
            made.unlink(missing_ok=True)
            if explain_full_disk(error):
                raise Refusal(507, f"{name}: the disk for temporary files is full") from error
            raise
        finally:
            self._decoding.release()
            raw.unlink(missing_ok=True)
        upload = Upload(key, made, name, found["duration"], found["fps"])
        with self._lock:
            self._uploads[key] = upload
        self.remove_old()
        return upload

    def find(self, key: str) -> Upload:
        """The upload of this key.

        Raises:
            Refusal: there is none (any more).
        """
        self.remove_old()
        with self._lock:
            upload = self._uploads.get(key)
        if upload is None or not upload.path.exists():
            raise Refusal(404, "this clip is not here any more: drop it in again")
        return upload

    def remove_old(self) -> None:
        """Remove uploads that are older than an hour, and the oldest if there are too many."""
        now = time.monotonic()
        with self._lock:
            ordered = sorted(self._uploads.values(), key=lambda one: one.at)
            extra = max(0, len(ordered) - _KEPT)
            for number, one in enumerate(ordered):
                if number < extra or now - one.at > _KEPT_SECONDS:
                    del self._uploads[one.key]
                    one.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Stop looking for old uploads; their folder goes with the server's."""
        self._closed.set()

    def _remove_now_and_then(self) -> None:
        while not self._closed.wait(_LOOK):
            self.remove_old()

    def _store(self, file: BinaryIO, raw: Path, name: str) -> None:
        left = self.limit
        with raw.open("xb") as out:
            while piece := file.read(1 << 20):
                left -= len(piece)
                if left < 0:
                    raise Refusal(413, f"{name}: has more than {self.limit >> 20} MB; {_CUT}")
                out.write(piece)
        if raw.stat().st_size == 0:
            raise Refusal(422, f"{name}: is empty (0 bytes); choose a video file")

    def _decode(self, raw: Path, made: Path, name: str) -> dict[str, float]:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        home = str(Path(upload_process.__file__).parents[2])  # where this very package lies
        paths = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-m", upload_process.__name__]
        command += [str(raw), str(made), str(self.memory)]
        try:
            ended = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=self.seconds,
                env=os.environ | threads | {"PYTHONPATH": paths},
                start_new_session=True,  # Ctrl-C is the server's business
                check=False,
            )
        except subprocess.TimeoutExpired as error:  # it was killed
            raise Refusal(
                422, f"{name}: takes more than {self.seconds:.0f} s to read; {_CUT}"
            ) from error
        finally:
            for rest in self.folder.glob(f".{made.stem}.*"):  # of a process that was killed
                rest.unlink(missing_ok=True)
        try:
            found: dict[str, float] = json.loads(ended.stdout)
        except ValueError:
            raise Refusal(
                422, f"{name}: cannot be read: decoding it needs too much memory or crashes. {_CUT}"
            ) from None
        if "error" in found:
            raise Refusal(422, f"{name}: {found['error']}")
        return found
