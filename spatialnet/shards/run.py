"""One shard of a manifest done, and all results put together: the same two functions on every machine.

Nothing but the work folder is shared. A unit is worked on in a folder of its own, which is then renamed into its place:
that its place is taken is the done-marker. A process that is killed loses the unit that it was at; two processes at the
same unit produce the same bytes, and the first to end keeps its place.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from spatialnet.atomic import closed_folder_said, full_disk_said, remove
from spatialnet.errors import PredictionRefused
from spatialnet.model import SpatialNetViT, load_model
from spatialnet.runs import write_json
from spatialnet.shards.embeddings import assemble_embeddings, embed_unit
from spatialnet.shards.manifest import Manifest, Unit, stamp
from spatialnet.shards.scenes import OpenScenes, assemble_maps, predict_unit
from spatialnet.train.devices import resolve_device

Progress = Callable[[float], None]


class Stopped(Exception):
    """Someone asked the shard to stop; every unit that was done stays done."""


def run_shard(
    manifest: Manifest,
    number: int,
    shards: int,
    *,
    progress: Progress = lambda _share: None,
    should_stop: Callable[[], bool] = lambda: False,
    device: str = "auto",
) -> bool:
    """Do the units of one shard that are not done yet.

    Args:
        manifest: what is to be done.
        number: which shard, from 1.
        shards: how many there are; results do not depend on it.
        progress: called with the share of this shard that is done, 0..1.
        should_stop: asked often; once it says True the call returns.
        device: `auto`, `cpu`, `cuda` or `cuda:<index>`.

    Returns:
        True when every unit of the shard is done; False where it was stopped before.

    Raises:
        PredictionRefused: there is no such shard, or the run or a scene changed since the work began.
        SceneUnreadable: a scene is damaged or cut short.
        NotEnoughDisk: the disk is full; units that were done stay done.
    """
    units = manifest.shard(number, shards)
    left = [unit for unit in units if not manifest.finished and not manifest.is_done(unit)]
    if not left:
        progress(1.0)
        return True

    def told(done: float) -> None:
        progress((len(units) - len(left) + done) / len(units))
        if should_stop():
            raise Stopped

    try:
        if manifest.kind == "train":
            from spatialnet.shards.training import train_unit  # predicting does without what training needs

            return all(train_unit(unit, device=device, should_stop=should_stop) for unit in left)
        with OpenScenes(manifest, _model(manifest, device)) as scenes:
            work = predict_unit if manifest.kind == "predict" else embed_unit
            for place, unit in enumerate(left):
                told(place)
                if not manifest.finished and not manifest.is_done(unit):  # another process may have done it meanwhile
                    with _part(manifest, unit) as folder:
                        work(scenes, unit, folder, lambda share, place=place: told(place + share))  # type: ignore[misc]
    except Stopped:
        return False
    progress(1.0)
    return True


def finish(manifest: Manifest, *, progress: Progress = lambda _share: None) -> dict[str, dict[str, Path]]:
    """Put the parts of all units together, and remove them.

    Returns:
        Per item its files: per task for `predict`; `features` and `positions` for `embed`; none for `train`.

    Raises:
        PredictionRefused: units are still to be done.
        NotEnoughDisk: the disk is full; the parts stay.
    """
    if manifest.finished:
        return results(manifest)
    missing = len(manifest.units) - manifest.done()
    if missing and manifest.kind != "train":
        raise PredictionRefused(
            f"{missing} of {len(manifest.units)} units are still to be done. Run the shards that are missing, then finish again."
        )
    found: dict[str, dict[str, Path]] = {}
    if manifest.kind != "train":
        model = _model(manifest, "cpu")
        with closed_folder_said(manifest.folder), OpenScenes(manifest, model) as scenes:
            for place, item in enumerate(manifest.items):
                if manifest.kind == "predict":
                    found[item.name] = assemble_maps(manifest, item, model.tasks, scenes)
                else:
                    found[item.name] = assemble_embeddings(manifest, item, model.dim)
                progress((place + 1) / len(manifest.items))
    write_json(
        manifest.state / "finished.json",
        {
            name: {role: path.relative_to(manifest.folder).as_posix() for role, path in files.items()}
            for name, files in found.items()
        },
    )
    for left_over in ("parts", "work"):
        remove(manifest.state / left_over)
    return found


def results(manifest: Manifest) -> dict[str, dict[str, Path]]:
    """The files of finished work, as `finish` gave them.

    Raises:
        PredictionRefused: a result is gone.
    """
    values = json.loads((manifest.state / "finished.json").read_text(encoding="utf-8"))
    found = {name: {role: manifest.folder / path for role, path in files.items()} for name, files in values.items()}
    for files in found.values():
        for path in files.values():
            if not path.exists():
                raise PredictionRefused(
                    f"{path.name} was written here and is gone. Remove the folder {manifest.folder.name[:80]!r} and start again."
                )
    return found


def _model(manifest: Manifest, device: str) -> SpatialNetViT:
    path = Path(manifest.model)
    if stamp(path) != manifest.model_stamp:
        raise PredictionRefused(
            f"The model in {path.parent.name} changed since the work began. Start it in another folder."
        )
    return load_model(path, resolve_device(device))[0]


@contextmanager
def _part(manifest: Manifest, unit: Unit) -> Iterator[Path]:
    """A folder for a unit's output; it appears in its place when the block ends well."""
    place = manifest.part(unit)
    # The machine's name is part of it: process numbers of two machines may be the same.
    fresh = manifest.state / "work" / f"{unit.name}.{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        with closed_folder_said(manifest.folder), full_disk_said(unit.name):
            place.parent.mkdir(parents=True, exist_ok=True)
            fresh.mkdir(parents=True)
            yield fresh
            for file in fresh.iterdir():
                with file.open("rb") as written:
                    os.fsync(written.fileno())
            try:
                fresh.rename(place)
            except OSError:
                # Else another process was first, with the same bytes, or the whole work is finished.
                if not place.is_dir() and not manifest.finished:
                    raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
