"""SpatialNet-ViT: any set of sensors in, one answer per task out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, get_args

import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from spatialnet.errors import BandsDoNotMatch, CheckpointDoesNotFit, RecipeInvalid, TargetsInvalid
from spatialnet.model import tuning
from spatialnet.model.backbone import build_backbone
from spatialnet.model.heads import Head, Pooled, TaskQueries
from spatialnet.model.layout import TokenLayout, attention_mask, leave_out, masked_mean, presence
from spatialnet.model.preparation import Preparation, Statistics
from spatialnet.model.tokenizer import GroundPosition, LocalContext, Tokenizer
from spatialnet.presets import preset_named
from spatialnet.sensors import Sensor
from spatialnet.tasks import Task

Fusion = Literal["early", "mean"]

FEATURES = "features"
"""The key under which `forward` returns pooled features; no task may have this name."""


class SpatialNetViT(Preparation):
    """A multi-task vision transformer for any set of sensors.

    Each sensor has a tokeniser; all put their tokens on one grid. Tokens get learned positions, a
    ground-position term that knows the ground sample distance, a local-context term and a learned code of
    their sensor. Absent sensors are masked out of attention. timm's transformer blocks follow, then one
    learned query and one head per task.

    The forward pass can be taken in steps, which is what explanations need::

        tokens, layout = model.tokens(images)
        tokens = model.encode(tokens, layout)          # or through model.blocks one by one, then model.norm
        pooled = model.pool(tokens, layout, names)     # Pooled: features, attention of the task queries
        logits = model.classify(pooled.features, names)

    Args:
        sensors: one or more; their bands fix the tokenisers.
        tasks: one or more; their classes fix the heads.
        preset: a name in `PRESETS`, or `timm:<architecture>`.
        chip_size: side of a chip in pixels; other sizes work too, their positions are resampled.
        gsd_m: ground sample distance of the chips in metres per pixel; the reference of the ground-position
            term.
        fusion: `early` = the tokens of all sensors side by side (cost grows with the square of their number);
            `mean` = one grid that holds the mean over the sensors that are there.
        patch: side of a patch in pixels; default by preset and size.
        drop_path: stochastic depth of the last block, 0..1.
        size: side in pixels to which chips are resampled before they are cut into patches, so that there is one grid
            whatever their own size; 0 = as they are.
        spatial: whether to have the spatial terms; presets without them never have.
        patch_drop: share of the patches that a training step leaves out, at least 0, less than 1.
        reference_gsd_m: metres per pixel that the ground-position term counts in, where that is not the chips' own.

    Raises:
        RecipeInvalid: no such preset or fusion, a patch larger than the chip, or a share outside its range.
        BandsDoNotMatch: no sensor, or two of one name.
        TargetsInvalid: no task, two of one name, or one called `features`.
    """

    cls_token: nn.Parameter | None
    reg_token: nn.Parameter | None
    pos_embed: nn.Parameter | None

    def __init__(
        self,
        sensors: Sequence[Sensor],
        tasks: Sequence[Task],
        preset: str = "small",
        *,
        chip_size: int,
        gsd_m: float,
        fusion: Fusion = "early",
        patch: int | None = None,
        drop_path: float = 0.0,
        size: int = 0,
        spatial: bool = True,
        patch_drop: float = 0.0,
        reference_gsd_m: float = 0.0,
    ) -> None:
        super().__init__()
        self.sensors = {sensor.name: sensor for sensor in sensors}
        self.tasks = {task.name: task for task in tasks}
        if not sensors or len(self.sensors) != len(sensors):
            raise BandsDoNotMatch(f"A model needs distinct sensors; it was given {[s.name for s in sensors]}.")
        if not tasks or len(self.tasks) != len(tasks) or FEATURES in self.tasks:
            raise TargetsInvalid(
                f"A model needs distinct tasks, none called {FEATURES}; got {[t.name for t in tasks]}."
            )
        if fusion not in get_args(Fusion):
            raise RecipeInvalid(f"There is no fusion {fusion!r}. Use one of {', '.join(get_args(Fusion))}.")
        self.preset = preset_named(preset)
        self.chip_size, self.gsd_m, self.fusion, self.drop_path = chip_size, gsd_m, fusion, drop_path
        self.size, self.spatial, self.patch_drop = size, spatial, patch_drop
        self.reference_gsd_m = reference_gsd_m
        side = size or chip_size
        self.patch = patch or self.preset.patch(side)
        if not 1 <= self.patch <= side:
            raise RecipeInvalid(f"A patch of {self.patch} px does not fit a chip of {side} px. Choose 1 to {side}.")
        if not 0 <= patch_drop < 1:
            raise RecipeInvalid(f"patch_drop is {patch_drop!r}; it must be at least 0 and less than 1.")
        self.grid = (max(1, round(side / self.patch)),) * 2
        self.statistics = Statistics({})
        self.checkpointing = False
        self._build(drop_path)

    def _build(self, drop_path: float) -> None:
        backbone = build_backbone(self.preset, self.grid[0], self.patch, drop_path)
        dim = int(backbone.embed_dim)
        self.dim = dim
        self.tokenizers = nn.ModuleDict(
            {name: Tokenizer(sensor, dim, self.patch, self.preset.stem) for name, sensor in self.sensors.items()}
        )
        self.sensor_embed = nn.ParameterDict({name: nn.Parameter(torch.zeros(dim)) for name in self.sensors})
        spatial = self.spatial and self.preset.spatial
        own = self.gsd_of(self.gsd_m, self.chip_size)
        self.ground_position = GroundPosition(dim, self.reference_gsd_m or own, own) if spatial else None
        self.local_context = LocalContext(dim) if spatial else None
        # timm's own parameters keep timm's names, so that its weights and layer groups carry over.
        self.cls_token, self.reg_token, self.pos_embed = (
            backbone.cls_token,
            backbone.reg_token,
            backbone.pos_embed,
        )
        self.prefix = int(backbone.num_prefix_tokens)
        self.prefix_has_position = bool(self.prefix) and not backbone.no_embed_class
        self.pos_drop, self.norm_pre, self.norm = backbone.pos_drop, backbone.norm_pre, backbone.norm
        self.blocks = nn.ModuleList(backbone.blocks)
        by_query = self.preset.pool == "query"
        self.queries = TaskQueries(len(self.tasks), dim) if by_query else None
        self.heads = nn.ModuleDict({name: Head(task, dim, norm=by_query) for name, task in self.tasks.items()})

    def forward(
        self,
        images: Tensor | Mapping[str, Tensor],
        *,
        present: Mapping[str, Tensor] | None = None,
        gsd: Tensor | None = None,
        tasks: Sequence[str] | None = None,
        return_features: bool = False,
    ) -> dict[str, Tensor]:
        """Answers for a batch of chips.

        Args:
            images: normalised pixels (batch, bands, height, width) of the model's only sensor, or a dict of
                them by sensor name; a sensor that is not in the dict is absent from every chip.
            present: (batch,) bool per sensor, False where a chip lacks it; default True.
            gsd: (batch,) metres per pixel of each chip as `gsd_of` gives them, 0 where not known; default the model's
                own.
            tasks: which tasks to answer; default all.
            return_features: also return the chips' embeddings.

        Returns:
            Logits per task in float32: `multiclass` and `multilabel` (batch, classes), `binary` (batch,),
            `count` (batch, classes) as the logarithm of one plus the count; with `return_features` also
            `features` (batch, dim), the mean of the final tokens (`paper`: the class token).

        Raises:
            BandsDoNotMatch: an unknown sensor, or another number of bands.
            TargetsInvalid: an unknown task.
        """
        names = self._chosen(tasks)
        tokens, layout = self.tokens(images, present=present, gsd=gsd)
        tokens = self.encode(tokens, layout)
        pooled = self.pool(tokens, layout, names)
        answers = self.classify(pooled.features, names)
        if return_features:
            answers[FEATURES] = (pooled.base.to(tokens.dtype)[:, None, :] @ tokens)[:, 0].float()
        return answers

    def tokens(
        self,
        images: Tensor | Mapping[str, Tensor],
        *,
        present: Mapping[str, Tensor] | None = None,
        gsd: Tensor | None = None,
    ) -> tuple[Tensor, TokenLayout]:
        """The sequence that enters the first block: (batch, tokens, dim), and where each token comes from."""
        by_sensor = self.by_sensor(images)
        first = next(iter(by_sensor.values()))
        batch, grid = first.shape[0], self.grid_of(*first.shape[-2:])
        there = presence(list(by_sensor), present, first.device)
        maps = {name: self._map(name, pixels, grid, there.get(name)) for name, pixels in by_sensor.items()}
        mask = None
        if self.fusion == "early":
            mask = attention_mask([there.get(name) for name in maps], batch, grid, self.prefix)
        else:
            maps = {"all": masked_mean([(tokens, there.get(name)) for name, tokens in maps.items()])}
        terms = self._spatial_terms(grid, gsd)
        placed = [self.local_context(m + terms) if self.local_context else m + terms for m in maps.values()]
        patches = [one.flatten(2).transpose(1, 2) for one in placed]
        sequence = self.pos_drop(torch.cat([self._prefix(batch).to(patches[0].dtype), *patches], 1))
        layout = TokenLayout(tuple(maps), grid, self.prefix, mask)
        if self.training and self.patch_drop:
            sequence, layout = leave_out(sequence, layout, self.patch_drop)
        return self.norm_pre(sequence), layout

    def encode(self, tokens: Tensor, layout: TokenLayout) -> Tensor:
        """The sequence after all blocks and the final norm: (batch, tokens, dim)."""
        again = self.checkpointing and self.training and torch.is_grad_enabled()
        for block in self.blocks:
            if again:
                tokens = checkpoint(block, tokens, attn_mask=layout.mask, use_reentrant=False)
            else:
                tokens = block(tokens, attn_mask=layout.mask)
        final: Tensor = self.norm(tokens)
        return final

    def pool(self, tokens: Tensor, layout: TokenLayout, tasks: Sequence[str] | None = None) -> Pooled:
        """What each task sees of the final tokens, with the attention of its query."""
        names = self._chosen(tasks)
        batch, device = tokens.shape[0], tokens.device
        if self.queries is None:
            base = torch.zeros(batch, layout.count, device=device)
            base[:, 0] = 1.0
            features = tokens[:, :1].expand(-1, len(names), -1)
            return Pooled(features, base[:, None, None].expand(-1, 1, len(names), -1), base)
        there = layout.usable(batch, device)
        base = there.float() / there.sum(1, keepdim=True)
        order = list(self.tasks)
        chosen = torch.tensor([order.index(name) for name in names], device=device)
        pooled: Pooled = self.queries(tokens, there, base, chosen)
        return pooled

    def classify(self, features: Tensor, tasks: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Logits per task from pooled features (batch, tasks, dim), in the order of `tasks`."""
        return {name: self.heads[name](features[:, i]) for i, name in enumerate(self._chosen(tasks))}

    def set_checkpointing(self, on: bool) -> None:
        """Whether training computes the blocks' activations again in the backward pass: less memory, about a third more time."""
        self.checkpointing = on

    def freeze_backbone(self, tune: str, tuned_blocks: int = 0) -> None:
        """Let only some parameters learn, see `spatialnet.model.tuning.freeze`; `all` lets every one learn again."""
        tuning.freeze(self, tune, tuned_blocks)

    def backbone_parameters(self) -> list[nn.Parameter]:
        """The parameters that pretrained weights fill, see `spatialnet.model.tuning.is_new`."""
        return tuning.backbone_parameters(self)

    def config(self) -> dict[str, Any]:
        """JSON-ready values from which `from_config` builds the same architecture."""
        return {
            "preset": self.preset.name,
            "sensors": [sensor.to_dict() for sensor in self.sensors.values()],
            "tasks": [task.to_dict() for task in self.tasks.values()],
            "chip_size": self.chip_size,
            "gsd_m": self.gsd_m,
            "fusion": self.fusion,
            "patch": self.patch,
            "size": self.size,
            "spatial": self.spatial,
            "patch_drop": self.patch_drop,
            "reference_gsd_m": self.reference_gsd_m,
            "statistics": self.statistics.to_dict(),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The architecture that `config` describes, with random weights.

        Raises:
            CheckpointDoesNotFit: values are missing or malformed.
        """
        try:
            model = cls(
                [Sensor.from_dict(values) for values in config["sensors"]],
                [Task.from_dict(values) for values in config["tasks"]],
                str(config["preset"]),
                chip_size=int(config["chip_size"]),
                gsd_m=float(config["gsd_m"]),
                fusion=config["fusion"],
                patch=int(config["patch"]),
                size=int(config.get("size", 0)),
                spatial=bool(config.get("spatial", True)),
                patch_drop=float(config.get("patch_drop", 0.0)),
                reference_gsd_m=float(config.get("reference_gsd_m", 0.0)),
            )
            model.statistics = Statistics(config.get("statistics", {}))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointDoesNotFit(f"The model's description lacks or garbles {error}. Train it again.") from error
        return model

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Layer groups for timm's layer decay, see `spatialnet.model.tuning.group_matcher`."""
        return tuning.group_matcher(self, coarse=coarse)

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that weight decay must leave alone, beside one-dimensional ones."""
        return {"cls_token", "reg_token", "pos_embed", "queries.query"}

    def _chosen(self, tasks: Sequence[str] | None) -> list[str]:
        unknown = [name for name in tasks or () if name not in self.tasks]
        if unknown:
            raise TargetsInvalid(f"This model has no task {unknown[0][:64]!r}; it has {', '.join(self.tasks)}.")
        return list(self.tasks) if tasks is None else list(tasks)

    def _map(self, name: str, pixels: Tensor, grid: tuple[int, int], there: Tensor | None) -> Tensor:
        """Tokens of one sensor as a map (batch, dim, *grid); zeros for chips that lack it."""
        if there is None:
            tokens: Tensor = self.tokenizers[name](pixels, grid)
            return tokens + self.sensor_embed[name][:, None, None]
        # Chosen, not multiplied, and before the kernels: an absent sensor's pixels may be NaN, and NaN times zero is
        # NaN, in the answer and in the gradient of the kernels.
        chips = there[:, None, None, None]
        tokens = self.tokenizers[name](torch.where(chips, pixels, 0.0), grid) + self.sensor_embed[name][:, None, None]
        return torch.where(chips, tokens, 0.0)

    def _positions(self, grid: tuple[int, int]) -> Tensor | None:
        if self.pos_embed is None or grid == self.grid:
            return self.pos_embed
        kept = self.prefix if self.prefix_has_position else 0
        resampled: Tensor = resample_abs_pos_embed(
            self.pos_embed, new_size=list(grid), old_size=list(self.grid), num_prefix_tokens=kept
        )
        return resampled

    def _spatial_terms(self, grid: tuple[int, int], gsd: Tensor | None) -> Tensor:
        positions = self._positions(grid)
        if positions is None:
            terms = torch.zeros(1, self.dim, *grid, device=self.device)
        else:
            kept = self.prefix if self.prefix_has_position else 0
            terms = positions[:, kept:].transpose(1, 2).reshape(1, -1, *grid)
        # Cast, because a model in bfloat16 still counts metres in float32.
        return terms if self.ground_position is None else terms + self.ground_position(grid, gsd).to(terms.dtype)

    def _prefix(self, batch: int) -> Tensor:
        parts: list[Tensor] = [part for part in (self.cls_token, self.reg_token) if part is not None]
        prefix = torch.cat(parts, 1) if parts else torch.zeros(1, 0, self.dim, device=self.device)
        if self.prefix_has_position and self.pos_embed is not None:
            prefix = prefix + self.pos_embed[:, : self.prefix]
        return prefix.expand(batch, -1, -1)
