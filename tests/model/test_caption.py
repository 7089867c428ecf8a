import itertools

import pytest
import torch

from spatialnet.errors import CheckpointDoesNotFit
from spatialnet.model import SpatialNetViT, save_model
from spatialnet.model.caption import LENGTH, CaptionHead, Seen, see
from spatialnet.model.words import END, PAD, START, UNKNOWN, Words
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task

WORDS = Words(("a", "house", "tree"))
TASKS = (Task("land_use", "multiclass", ("a", "b")),)


@pytest.fixture
def head():
    torch.manual_seed(0)
    return CaptionHead(WORDS, 16, 32).eval()


def seen(chips=2, tokens=5):
    return Seen(torch.randn(chips, tokens, 16), torch.ones(chips, tokens, dtype=torch.bool))


def test_a_word_depends_on_the_words_before_it_and_never_on_later_ones(head):
    look, first = seen(1), torch.tensor([[START, 4, 5, 6]])
    other = torch.tensor([[START, 4, 6, 6]])
    one, two = head(look, first), head(look, other)
    assert torch.allclose(one[:, :2], two[:, :2], atol=1e-6)
    assert not torch.allclose(one[:, 2:], two[:, 2:], atol=1e-3)


def test_tokens_that_are_not_there_leak_exactly_nothing(head):
    look = seen(1)
    there = look.there.clone()
    there[:, 3:] = False
    changed = look.tokens.clone()
    changed[:, 3:] = 1e3
    numbers = torch.tensor([[START, 4]])
    assert torch.equal(head(Seen(look.tokens, there), numbers), head(Seen(changed, there), numbers))


def test_a_uniform_guess_costs_one_and_nothing_is_asked_after_the_end(head):
    torch.nn.init.zeros_(head.embed.weight)  # all logits are 0
    short = torch.tensor([[START, 4, END] + [PAD] * (LENGTH - 3)])
    assert head.loss(seen(1), short).item() == pytest.approx(1.0)


def test_a_caption_is_learned_by_heart_and_beams_find_it(head):
    look = seen(2)
    captions = torch.tensor([WORDS.encode("a house", LENGTH), WORDS.encode("tree tree a", LENGTH)])
    optimizer = torch.optim.AdamW(head.parameters(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        head.loss(look, captions).backward()
        optimizer.step()
    for beams in (1, 3):
        assert head.write(look, beams) == ["a house", "tree tree a"]
        assert head.write(Seen(look.tokens[1:], look.there[1:]), beams) == ["tree tree a"]


def test_wide_beams_find_the_best_of_all_short_captions(head, monkeypatch):
    monkeypatch.setattr("spatialnet.model.caption.LENGTH", 4)
    look = seen(1)
    allowed = [n for n in range(len(WORDS)) if n not in (PAD, START, UNKNOWN)]
    best = (-torch.inf, "")
    for tail in itertools.product(allowed, repeat=3):
        ends = tail.index(END) + 1 if END in tail else 3
        numbers = (START, *tail[:ends])
        steps = head(look, torch.tensor([numbers[:-1]])).log_softmax(-1)[0]
        value = sum(steps[i, n].item() for i, n in enumerate(numbers[1:])) / ends
        best = max(best, (value, WORDS.decode(numbers[1:])))
    assert head.write(look, 7) == [best[1]]


def test_a_head_reads_back_with_its_words_and_other_files_are_one_sentence(head, tmp_path):
    head.save(tmp_path / "caption.safetensors")
    again = CaptionHead.load(tmp_path / "caption.safetensors")
    assert again.words == WORDS
    look, numbers = seen(), torch.tensor([[START], [START]])
    assert torch.equal(again(look, numbers), head(look, numbers))
    model = SpatialNetViT([SENSORS["rgb"]], TASKS, "nano", chip_size=16, gsd_m=1.0, patch=8)
    save_model(tmp_path / "model.safetensors", model, extra={})
    (tmp_path / "cut").write_bytes((tmp_path / "caption.safetensors").read_bytes()[:500])
    for name in ("model.safetensors", "cut", "none"):
        with pytest.raises(CheckpointDoesNotFit):
            CaptionHead.load(tmp_path / name)


def test_a_sensor_that_a_chip_lacks_is_marked_and_does_not_matter():
    torch.manual_seed(0)
    sensors = [SENSORS["rgb"], SENSORS["sentinel1"]]
    model = SpatialNetViT(sensors, TASKS, "nano", chip_size=96, gsd_m=1.0, patch=8).eval()
    images = {s.name: torch.randn(2, len(s.bands), 96, 96) for s in sensors}
    present = {"rgb": torch.tensor([True, True]), "sentinel1": torch.tensor([True, False])}
    look = see(model, images, present)
    assert look.tokens.shape == (2, 2 * 64, model.dim)  # 12 x 12 patches are averaged to 8 x 8
    assert look.there[0].all()
    assert look.there[1].tolist() == [True] * 64 + [False] * 64
    images["sentinel1"][1] = torch.nan
    again = see(model, images, present)
    assert torch.equal(again.tokens[1, :64], look.tokens[1, :64])
