"""The app's side of the compute process: start it, ask it, start it again when it died. No torch in this process."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from typing import IO, Any

from spatialnet.errors import ComputeUnavailable, ExplanationFailed
from spatialnet.jobs.explanations import ExplanationRequest, kept_explanation
from spatialnet.jobs.probes import ProbeRequest
from spatialnet.jobs.why_map import WhyMapRequest, kept_why_map
from spatialnet.settings import REPOSITORY, Settings

ANSWER_SECONDS = 120.0
"""Longest wait for one answer, the start of the process included."""


class Compute:
    """One long-lived process that holds the loaded model and answers one question at a time.

    It reads requests from its standard input and ends when that closes, so it never outlives the app.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: IO[bytes] | None = None
        self._answers: queue.Queue[bytes] = queue.Queue()

    @property
    def pid(self) -> int | None:
        """Process id while it lives."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def warm_up(self) -> None:
        """Start the process without waiting for it."""
        with self._lock:
            self._started()

    def explain(self, request: ExplanationRequest) -> dict[str, Any]:
        """An explanation; from its files where it was computed before.

        Raises:
            ComputeUnavailable: the process gave no answer; it was started anew for the next call.
            ExplanationFailed: this run, chip, task, class and method cannot be explained.
        """
        kept = kept_explanation(self._settings, request)
        return kept if kept is not None else self._ask("explain", asdict(request))

    def compare(self, first: ExplanationRequest, second: ExplanationRequest) -> dict[str, Any]:
        """Two explanations of the same chip and where they differ; see `spatialnet.jobs.explaining.compare`.

        Raises:
            ComputeUnavailable: the process gave no answer; it was started anew for the next call.
            ExplanationFailed: one of them cannot be explained.
        """
        return self._ask("compare", {"first": asdict(first), "second": asdict(second)})

    def why_map(self, request: WhyMapRequest) -> dict[str, Any]:
        """A Why-map of an area that is quick enough to wait for (`is_quick`); from its files where it was made before.

        Raises:
            ComputeUnavailable: the process gave no answer; it was started anew for the next call.
            ExplanationFailed: this area cannot be explained.
        """
        kept = kept_why_map(self._settings, request.key)
        return kept if kept is not None else self._ask("why-map", asdict(request))

    def probe(self, request: ProbeRequest) -> dict[str, Any]:
        """What every head says of a chip before and after a change.

        Returns:
            `before` and `after`, per task the probability of each class or the counts; `neighbour`, the chip whose pixels were
            filled in, or None.

        Raises:
            ComputeUnavailable: the process gave no answer; it was started anew for the next call.
            ExplanationFailed: this change cannot be made.
        """
        return self._ask("probe", asdict(request))

    def stop(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _ask(self, what: str, arguments: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            process = self._started()
            assert process.stdin is not None  # noqa: S101 - it was opened with a pipe
            try:
                process.stdin.write(json.dumps({"ask": what, **arguments}).encode() + b"\n")
                process.stdin.flush()
                line = self._answers.get(timeout=ANSWER_SECONDS)
            except (OSError, queue.Empty):
                line = b""
            if not line:
                self._end()
                self._started()
                raise ComputeUnavailable(
                    "The compute process stopped before it answered; it was started again. Ask once more; "
                    "if it happens again, look at cache/compute.log in the workspace."
                )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ExplanationFailed(str(answer["error"]))
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            reading, writing = os.pipe()
            with (self._settings.cache / "compute.log").open("ab") as log, os.fdopen(writing, "wb"):
                self._pipe = os.fdopen(reading, "rb")
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "spatialnet.jobs.compute_server", str(writing)], pass_fds=(writing,),
                    stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, cwd=REPOSITORY, start_new_session=True,
                    env={**os.environ, "SPATIALNET_DATA": str(self._settings.workspace), "OMP_WAIT_POLICY": "PASSIVE"},
                )  # fmt: skip
            self._answers = queue.Queue()
            threading.Thread(target=_pump, args=(self._pipe, self._answers), daemon=True).start()
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            with suppress(OSError):
                self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._pipe):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
            self._process = None


def _pump(lines: IO[bytes], answers: queue.Queue[bytes]) -> None:
    with suppress(ValueError, OSError):  # closed while reading: the process is being ended
        for line in lines:
            answers.put(line)
    answers.put(b"")
