"""A joint model as each of its data sets needs it: the data set's own tasks, classes and normalisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from spatialnet.errors import DataSetInvalid
from spatialnet.joint import JointTasks
from spatialnet.model.network import SpatialNetViT
from spatialnet.tasks import Task


@torch.no_grad()
def for_dataset(
    model: SpatialNetViT, joint: JointTasks, dataset: str, tasks: Sequence[Task], *, gsd_m: float, chip_size: int
) -> SpatialNetViT:
    """A model of its own for one data set of a joint run.

    It has the joint model's weights, with those outputs of each head that are the data set's classes. For a `multiclass` task
    this is the joint answer given that it is one of these classes.

    Args:
        model: the joint model.
        joint: how its tasks are those of the data sets.
        dataset: which data set.
        tasks: the data set's own tasks; those that the run did not learn are left out.
        gsd_m: metres per pixel of the data set's chips.
        chip_size: side of its chips in pixels.

    Returns:
        A model on the same device, in evaluation mode.

    Raises:
        DataSetInvalid: the run does not know the data set, or learnt none of its tasks.
    """
    shares = joint.shares.get(dataset, {})
    known = [task for task in tasks if task.name in shares and shares[task.name].task in model.tasks]
    if not known:
        raise DataSetInvalid(
            f"The run learnt no task of data set {dataset[:64]!r}; it knows {', '.join(joint.shares)}. Choose one of those."
        )
    metres = model.gsd_of(gsd_m, chip_size)
    config = model.config() | {"tasks": [task.to_dict() for task in known]}
    if metres > 0:
        # Metres per pixel that the copy takes for its own, such that its chips are as large on the ground as they are.
        own = metres / model.gsd_of(1.0, model.chip_size)
        reference = model.reference_gsd_m or model.gsd_of(model.gsd_m, model.chip_size)
        config |= {"gsd_m": own, "reference_gsd_m": reference}
    copy = SpatialNetViT.from_config(config).to(model.device)
    order = list(model.tasks)
    state: dict[str, Tensor] = {k: v for k, v in model.state_dict().items() if not k.startswith("heads.")}
    if "queries.query" in state:
        state["queries.query"] = state["queries.query"][[order.index(shares[task.name].task) for task in known]]
    for task in known:
        share = shares[task.name]
        for name, value in model.heads[share.task].state_dict().items():
            state[f"heads.{task.name}.{name}"] = (
                _own_outputs(value, task, share.classes) if name.startswith("fc.") else value
            )
    copy.load_state_dict(state)
    for sensor in copy.sensors:
        bands = model.statistics.get(dataset, sensor)
        if bands is not None:
            copy.tokenizer(sensor).mean.copy_(bands[0])
            copy.tokenizer(sensor).std.copy_(bands[1])
    return copy.eval()


def _own_outputs(values: Tensor, task: Task, classes: tuple[int, ...]) -> Tensor:
    if task.kind == "binary":  # one output, for class 1
        return values if classes == (0, 1) else -values
    return values[list(classes)]
