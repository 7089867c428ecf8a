"""An optional head that writes a caption: a small transformer decoder over the final tokens of a trained network.

The network itself is not changed: the head is a file of its own beside the run's weights, with its vocabulary in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spatialnet.errors import CheckpointDoesNotFit
from spatialnet.model.checkpoint import read_tensors, write_tensors
from spatialnet.model.network import SpatialNetViT
from spatialnet.model.words import END, PAD, START, UNKNOWN, Words

LENGTH = 32
"""Numbers per caption, start and end included."""

SIDE = 8
"""Tokens are averaged to at most this many per side and sensor: a caption tells what there is, not where each pixel lies."""

_LAYERS, _HEADS = 2, 8


@dataclass(frozen=True)
class Seen:
    """What a network made of some chips.

    Attributes:
        tokens: (chips, tokens, dim) float32.
        there: (chips, tokens) bool, False where a chip lacks the sensor.
    """

    tokens: Tensor
    there: Tensor


@torch.inference_mode()
def see(model: SpatialNetViT, images: Mapping[str, Tensor], present: Mapping[str, Tensor] | None) -> Seen:
    """The final tokens of chips, averaged to at most 8 x 8 per sensor.

    Args:
        model: in evaluation mode.
        images: as the network takes them.
        present: as the network takes it.
    """
    tokens, layout = model.tokens(images, present=present)
    tokens = model.encode(tokens, layout).float()
    usable = layout.usable(len(tokens), tokens.device)
    side = (min(SIDE, layout.grid[0]), min(SIDE, layout.grid[1]))
    maps = layout.grids(tokens.transpose(1, 2))
    parts = [F.adaptive_avg_pool2d(values, side).flatten(2).transpose(1, 2) for values in maps.values()]
    # A sensor is there for a whole chip or not at all.
    shown = [grid.flatten(1).all(1)[:, None].expand(-1, side[0] * side[1]) for grid in layout.grids(usable).values()]
    there = torch.cat(shown, 1)
    return Seen(torch.cat(parts, 1), there | ~there.any(1, keepdim=True))


class CaptionHead(nn.Module):
    """A transformer decoder of two layers: the next word from the words before it and from what was seen.

    Args:
        words: the vocabulary.
        dim: width of the network's tokens.
        width: of the decoder; a multiple of 8.
    """

    def __init__(self, words: Words, dim: int, width: int = 256) -> None:
        super().__init__()
        self.words, self.dim, self.width = words, dim, width
        self.read = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, width))
        self.embed = nn.Embedding(len(words), width)
        self.place = nn.Parameter(torch.zeros(LENGTH, width))
        layer = nn.TransformerDecoderLayer(
            width, _HEADS, 4 * width, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, _LAYERS, nn.LayerNorm(width))
        nn.init.normal_(self.embed.weight, std=width**-0.5)
        nn.init.trunc_normal_(self.place, std=0.02)

    def forward(self, seen: Seen, numbers: Tensor) -> Tensor:
        """Logits of the word after each one: (chips, words so far, vocabulary).

        Args:
            seen: of the chips.
            numbers: (chips, words so far) long, the first is the start.
        """
        count = numbers.shape[1]
        later = torch.ones(count, count, dtype=torch.bool, device=numbers.device).triu(1)
        states = self.decoder(
            self.embed(numbers) + self.place[:count], self.read(seen.tokens), tgt_mask=later, memory_key_padding_mask=~seen.there
        )  # fmt: skip
        logits: Tensor = states @ self.embed.weight.T
        return logits

    def loss(self, seen: Seen, captions: Tensor) -> Tensor:
        """Mean cross-entropy of each next word, divided by that of a uniform guess.

        Args:
            seen: of the chips.
            captions: (chips, LENGTH) long, as `Words.encode` gives them.
        """
        logits, wanted = self(seen, captions[:, :-1]), captions[:, 1:]
        return F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=PAD) / math.log(len(self.words))

    @torch.inference_mode()
    def write(self, seen: Seen, beams: int = 3) -> list[str]:
        """The most probable caption of each chip, found by beam search, scores per word.

        Args:
            seen: of the chips.
            beams: how many beginnings are kept; 1 takes the best next word each time.
        """
        chips, size = len(seen.tokens), len(self.words)
        spread = Seen(seen.tokens.repeat_interleave(beams, 0), seen.there.repeat_interleave(beams, 0))
        device = seen.tokens.device
        numbers = torch.full((chips * beams, 1), START, device=device)
        # All beginnings are alike at first: only one of them counts.
        scores = torch.full((chips, beams), -torch.inf, device=device)
        scores[:, 0] = 0.0
        ended = torch.zeros(chips * beams, dtype=torch.bool, device=device)
        lengths = torch.zeros(chips * beams, device=device)
        for _ in range(LENGTH - 1):
            step = self(spread, numbers)[:, -1].log_softmax(-1)
            step[:, [PAD, START, UNKNOWN]] = -torch.inf
            step[ended] = -torch.inf
            step[ended, PAD] = 0.0
            best, where = (scores[:, :, None] + step.reshape(chips, beams, size)).flatten(1).topk(beams, 1)
            scores, word = best, (where % size).flatten()
            origin = (torch.arange(chips, device=device)[:, None] * beams + where // size).flatten()
            numbers = torch.cat([numbers[origin], word[:, None]], 1)
            lengths = lengths[origin] + (~ended[origin]).float()
            ended = ended[origin] | (word == END)
            if bool(ended.all()):
                break
        chosen = (scores / lengths.reshape(chips, beams)).argmax(1) + torch.arange(chips, device=device) * beams
        return [self.words.decode(row[1:]) for row in numbers[chosen].tolist()]

    def save(self, path: Path) -> None:
        """Write the head and its vocabulary to one file.

        Raises:
            NotEnoughDisk: the disk is full.
        """
        write_tensors(path, self.state_dict(), {"words": list(self.words.words), "dim": self.dim, "width": self.width})

    @classmethod
    def load(cls, path: Path) -> CaptionHead:
        """The head that `save` wrote, in evaluation mode.

        Raises:
            CheckpointDoesNotFit: the file is missing, damaged or not a caption head.
        """
        tensors, described = read_tensors(path)
        try:
            words = Words(tuple(str(word) for word in described["words"]))
            head = cls(words, int(described["dim"]), int(described["width"]))
            head.load_state_dict(tensors)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointDoesNotFit(
                f"{path.name} holds no caption head ({str(error)[:80]!r}). Train it again."
            ) from error
        return head.eval()
