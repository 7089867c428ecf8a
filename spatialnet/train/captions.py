"""Training of the optional caption head on what a finished network sees; the network stays as it is."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spatialnet.errors import NothingToRead
from spatialnet.model import SpatialNetViT
from spatialnet.model.caption import LENGTH, CaptionHead, Seen
from spatialnet.model.words import Words

_RATE, _DECAY, _BATCH = 1e-3, 0.01, 64


def train_captions(
    model: SpatialNetViT,
    seen: Callable[[npt.NDArray[np.int64]], Seen],
    captions: Sequence[Sequence[str]],
    train: npt.NDArray[np.int64],
    validation: npt.NDArray[np.int64],
    *,
    epochs: int = 20,
    seed: int = 0,
    progress: Callable[[float, str], None] = lambda _share, _text: None,
) -> CaptionHead:
    """A caption head of the epoch that is best on the validation split (the last one where that has no caption).

    Args:
        model: the network that sees; only its width and device are used.
        seen: what it makes of chips of the data set.
        captions: per chip of the data set its captions; none where unknown.
        train: chips to learn from; one of each chip's captions is drawn per epoch.
        validation: chips to choose the epoch on.
        epochs: passes over the training chips.
        seed: of all that is random.
        progress: called with a share in 0..1 and what is being done.

    Raises:
        NothingToRead: no training chip has a caption.
        TargetsInvalid: the captions hold too few words.
    """
    known = np.array([chip for chip in train if captions[chip]], np.int64)
    judged = np.array([chip for chip in validation if captions[chip]], np.int64)
    if not len(known):
        raise NothingToRead(
            "No chip of the training split has a caption. Choose a data set, or a column, that has some."
        )
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    words = Words.learn(caption for chip in known for caption in captions[chip])
    head = CaptionHead(words, model.dim).to(model.device)
    optimizer = torch.optim.AdamW(head.parameters(), _RATE, weight_decay=_DECAY)
    steps = epochs * math.ceil(len(known) / _BATCH)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, steps, pct_start=0.1) if steps > 1 else None
    looked, checked = _all(seen, known, progress), _all(seen, judged, progress)
    held = [_encoded(words, [captions[chip][0] for chip in judged], model.device)] if len(judged) else []
    best, kept = math.inf, head.state_dict()
    for epoch in range(epochs):
        head.train()
        drawn = _encoded(
            words, [captions[chip][int(random.integers(len(captions[chip])))] for chip in known], model.device
        )
        for rows in torch.split(torch.from_numpy(random.permutation(len(known))).to(model.device), _BATCH):
            loss = head.loss(Seen(looked.tokens[rows].float(), looked.there[rows]), drawn[rows])
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimizer.step()
            if rate is not None:
                rate.step()
        value = _validated(head, checked, held[0]) if held else -float(epoch)
        if value < best:
            best, kept = value, copy.deepcopy(head.state_dict())
        progress((epoch + 1) / epochs, f"epoch {epoch + 1} of {epochs}")
    head.load_state_dict(kept)
    return head.eval()


def _all(
    seen: Callable[[npt.NDArray[np.int64]], Seen], chips: npt.NDArray[np.int64], progress: Callable[[float, str], None]
) -> Seen:
    """What the network makes of chips, in half precision: it is looked at once per epoch."""
    parts = []
    for start in range(0, len(chips), _BATCH):
        part = seen(chips[start : start + _BATCH])
        parts.append(Seen(part.tokens.half(), part.there))
        progress(0.0, f"looking at chips, {start + len(part.there):,} of {len(chips):,}")
    if not parts:
        return Seen(torch.zeros(0, 1, 1), torch.zeros(0, 1, dtype=torch.bool))
    return Seen(torch.cat([part.tokens for part in parts]), torch.cat([part.there for part in parts]))


@torch.no_grad()
def _validated(head: CaptionHead, seen: Seen, captions: Tensor) -> float:
    head.eval()
    losses = [
        float(head.loss(Seen(seen.tokens[rows].float(), seen.there[rows]), captions[rows])) * len(rows)
        for rows in torch.split(torch.arange(len(captions), device=captions.device), _BATCH)
    ]
    return sum(losses) / len(captions)


def _encoded(words: Words, captions: Sequence[str], device: torch.device) -> Tensor:
    return torch.tensor([words.encode(caption, LENGTH) for caption in captions], device=device)
