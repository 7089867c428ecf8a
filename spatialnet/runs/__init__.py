"""The runs of a workspace: one folder each, readable without torch.

A run folder holds `run.json` (what was trained, on what, from what), `recipe.toml`, `history.jsonl` (one line per report
of the training loop), `model.safetensors`, and once it is done `report.json` (metrics beside baselines),
`predictions.parquet` and `maps/<place>/<task>.tif`; `notes.jsonl` is what people wrote about it. A run on several data sets
has `joint.json`, and keeps what belongs to the second and later ones in `sets/<data set>/`.
"""

from spatialnet.runs.folder import Run, create_run, list_runs, open_run, write_json
from spatialnet.runs.publishing import current_run

__all__ = ["Run", "create_run", "current_run", "list_runs", "open_run", "write_json"]
