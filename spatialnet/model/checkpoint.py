"""Checkpoints: weights as safetensors, with everything needed to use them in the same file as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from spatialnet.errors import CheckpointDoesNotFit, NotEnoughDisk
from spatialnet.model.network import SpatialNetViT

FORMAT = "spatialnet-1"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors and JSON-ready metadata to one safetensors file; an old file stays whole until the new one is.

    Raises:
        NotEnoughDisk: the disk is full.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    flat = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    try:
        save_file(flat, part, {"format": FORMAT, "spatialnet": json.dumps(metadata)})
        part.replace(path)
    except (OSError, SafetensorError) as error:
        if "No space left" in str(error) or "os error 28" in str(error):
            raise NotEnoughDisk(
                f"{path.name} could not be written: the disk is full. Free some space and try again."
            ) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def read_tensors(path: Path, device: str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a file that `write_tensors` wrote.

    Raises:
        CheckpointDoesNotFit: the file is missing, truncated, or not one of SpatialNet's.
    """
    try:
        with safe_open(path, framework="pt", device=device) as file:
            described = (file.metadata() or {}).get("spatialnet")
            if described is None:
                raise CheckpointDoesNotFit(
                    f"{path.name} was not written by SpatialNet: it describes no sensors and tasks."
                )
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(described)  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointDoesNotFit(f"{path.name} cannot be read ({error}). Train the run again.") from error


def save_model(path: Path, model: SpatialNetViT, *, extra: Mapping[str, Any]) -> None:
    """Write a model: its weights and normalisation, its sensors, tasks and class names, and `extra`.

    Args:
        path: ends in `.safetensors`.
        model: any device.
        extra: JSON-ready facts about the run: fingerprint of the data, weights it started from, metrics.
    """
    write_tensors(path, model.state_dict(), {"config": model.config(), "extra": dict(extra)})


def load_model(path: Path, device: str | torch.device = "cpu") -> tuple[SpatialNetViT, dict[str, Any]]:
    """The model in a file that `save_model` wrote, ready to predict, and its `extra`.

    Raises:
        CheckpointDoesNotFit: the file cannot be read, or its weights do not fit what it describes.
    """
    tensors, metadata = read_tensors(path)
    if "config" not in metadata:
        raise CheckpointDoesNotFit(f"{path.name} describes no model. Choose a model file of a finished run.")
    model = SpatialNetViT.from_config(metadata["config"])
    load_strictly(model, tensors, path.name)
    return model.to(device).eval(), dict(metadata.get("extra", {}))


def load_strictly(model: SpatialNetViT, tensors: Mapping[str, Tensor], what: str) -> None:
    """Put every tensor in its place; a missing, surplus or misshapen one is refused and nothing is changed.

    Raises:
        CheckpointDoesNotFit: with the first names that do not fit.
    """
    wanted = model.state_dict()
    missing, surplus = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    misshapen = [
        f"{name} is {tuple(tensors[name].shape)}, wanted {tuple(wanted[name].shape)}"
        for name in sorted(wanted.keys() & tensors.keys())
        if tensors[name].shape != wanted[name].shape
    ]
    faults = [f"lacks {name}" for name in missing] + [f"has an unknown {name}" for name in surplus] + misshapen
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise CheckpointDoesNotFit(
            f"{what} does not fit the model: {'; '.join(faults[:3])}{more}. Use the model it was made for."
        )
    model.load_state_dict(dict(tensors))
