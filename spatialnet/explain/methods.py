"""What each attribution method is, in words for people. Free of torch, so that pages can list them.

Not offered, because on a vision transformer they do not do what their names say (Captum 0.9, measured): guided backpropagation and
deconvolution change only ReLU, so with GELU they are the plain gradient; DeepLIFT has no rule for GELU, normalisation and
attention, so it is input times gradient; LayerGradCam averages over the wrong axis of tokens; LRP does not know timm's
modules, and is patented.

What leaving out a whole band or sensor does has no place on the chip, so it is no map: occlusion and the probe (`what_if.py`) say it.

To add a method: write its file beside this one, describe it here, and name its function in `attribute.py`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """One way to explain an answer.

    Attributes:
        name: identifier, also the name of its file.
        title: what people read.
        help: what it shows and what it does not, in two or three sentences.
        signed: positive values speak for the class and negative ones against it; else values are 0 or more.
        class_specific: the map depends on the class that is explained.
        bands: the method says how the evidence divides over bands.
        cost: rough work for one chip, where 1 is one forward and backward pass of the model.
        baseline: the method compares the chip with one that says nothing, and which one can be chosen.
    """

    name: str
    title: str
    help: str
    signed: bool
    class_specific: bool
    bands: bool
    cost: float
    baseline: bool = False


BASELINES = {
    "mean": "the training mean", "blurred": "the chip, blurred", "zero": "zero in every band", "neighbour": "a neighbouring chip",
}  # fmt: skip
"""What a chip can be compared with, in words; the first is what all methods start from."""


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "corrected_gradient",
            "Corrected gradient",
            "What each pixel brought to the score, in one pass back through the model that holds attention, normalisation and "
            "gates as they were for this chip. For (positive) or against (negative) the class, per pixel and band. Fast.",
            signed=True,
            class_specific=True,
            bands=True,
            cost=1.1,
        ),
        Method(
            "occlusion",
            "Occlusion",
            "Covers one patch after another with the training mean and notes how far the score falls. "
            "Easy to understand; misses evidence that several places share. "
            "Bands are covered one by one, too.",
            signed=True,
            class_specific=True,
            bands=True,
            cost=35.0,
        ),
        Method(
            "integrated_gradients",
            "Integrated Gradients",
            "Adds up how the score changes while the chip grows from a baseline, a chip that says nothing, to what it is. "
            "One value per pixel, for (positive) or against (negative) the class; the values add up to the "
            "change of the score, and the share of each band is known. Slow.",
            signed=True,
            class_specific=True,
            bands=True,
            cost=100.0,
            baseline=True,
        ),
        Method(
            "gradient_shap",
            "Gradient SHAP",
            "As Integrated Gradients, from several baselines at once (the training mean and the chip, blurred) and at random points near "
            "the chip. For (positive) or against (negative) the class; depends less on one baseline, adds up only roughly.",
            signed=True,
            class_specific=True,
            bands=True,
            cost=50.0,
            baseline=True,
        ),
        Method(
            "gradient_attention",
            "Gradient-weighted attention",
            "Follows the model's attention through its blocks and keeps what raises the score of this class. "
            "Fast, one value per patch. Shows evidence for the class only and no bands, and is less often faithful than "
            "occlusion: look at the badge.",
            signed=False,
            class_specific=True,
            bands=False,
            cost=1.1,
        ),
        Method(
            "attention_rollout",
            "Attention rollout",
            "Where the model looks, followed through all blocks. The same for every class: "
            "it does not say what a place speaks for.",
            signed=False,
            class_specific=False,
            bands=False,
            cost=0.5,
        ),
        Method(
            "query_attention",
            "Attention of the task's query",
            "Which places the task reads at the very end, from tokens that have looked at each other already. The same for every class, "
            "different for each task: it shows whether two tasks look at different things.",
            signed=False,
            class_specific=False,
            bands=False,
            cost=0.4,
        ),
    )
}
"""Methods by name, in the order in which to try them."""
