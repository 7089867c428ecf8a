"""The compute process, `python -m spatialnet.jobs.compute_server PIPE`: JSON requests in, answers out, one per line.

Requests come by standard input. Answers leave by a pipe of their own, whose number is the argument: what libraries print
to standard output, at whatever time, never gets between them.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

import torch

from spatialnet.errors import ExplanationFailed, SpatialNetError
from spatialnet.jobs.explaining import compare, explain, probe, run_model
from spatialnet.jobs.explanations import ExplanationRequest
from spatialnet.jobs.probes import ProbeRequest
from spatialnet.jobs.why_map import WhyMapRequest
from spatialnet.jobs.why_mapping import why_map
from spatialnet.runs import open_run
from spatialnet.settings import Settings, load_settings


def _why_map(settings: Settings, request: WhyMapRequest) -> dict[str, Any]:
    return why_map(settings, request, run_model(open_run(settings, request.run), request.dataset))


def _answer(settings: Settings, line: str) -> dict[str, Any]:
    try:
        request = json.loads(line)
        match request.pop("ask"):
            case "explain":
                return explain(settings, ExplanationRequest(**request))
            case "compare":
                return compare(settings, *(ExplanationRequest(**request[side]) for side in ("first", "second")))
            case "why-map":
                return _why_map(settings, WhyMapRequest(**request))
            case "probe":
                return probe(settings, ProbeRequest(**request))
            case _:
                raise ExplanationFailed("The compute process does not know this request.")
    except SpatialNetError as error:
        return {"error": str(error)}
    except Exception as error:  # the log keeps the traceback; the page shows one sentence
        traceback.print_exc()
        return {"error": f"The explanation stopped with {type(error).__name__}. The log in the workspace tells more."}


def main() -> None:
    """Answer until standard input closes."""
    # One chip at a time: more threads than this cost more than they give, and the app needs the other cores.
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
    settings = load_settings()
    with os.fdopen(int(sys.argv[1]), "w", encoding="utf-8") as answers:
        for line in sys.stdin:
            print(json.dumps(_answer(settings, line)), file=answers, flush=True)


if __name__ == "__main__":
    main()
