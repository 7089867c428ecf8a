"""Every error that SpatialNet raises on purpose.

Each message is one or two sentences for the person at the screen: what was seen, what was wanted, what to do next.
The app and the command line show the message and never a traceback.
"""


class SpatialNetError(Exception):
    """The root of the family: catch this to show a message to a person."""


class PathRefused(SpatialNetError):
    """A path or name leaves the workspace, is a URL, or has a suffix that is not allowed."""


class SceneUnreadable(SpatialNetError):
    """A raster cannot be opened or read to its end."""


class SceneHasNoCRS(SpatialNetError):
    """A raster has no coordinate reference system, so it has no place on a map."""


class SceneTooLarge(SpatialNetError):
    """A raster has more pixels than the limit in the settings."""


class BandsDoNotMatch(SpatialNetError):
    """A raster has other bands than the sensor it was said to come from."""


class NothingToRead(SpatialNetError):
    """A raster or data set holds no valid pixel or no usable chip."""


class RulesInvalid(SpatialNetError):
    """A rules file for derived targets contradicts itself or the land-cover raster."""


class DataSetNotFound(SpatialNetError):
    """No data set of this name is in the workspace."""


class DataSetInvalid(SpatialNetError):
    """A data set's files contradict its manifest."""


class ImportRefused(SpatialNetError):
    """What was given cannot become a data set: another layout, unreadable files, or a plan that contradicts itself."""


class DownloadFailed(SpatialNetError):
    """A public host cannot be reached, or served another file than expected."""


class SampleUnavailable(SpatialNetError):
    """The sample cannot be fetched: no package index answers, or the file is not the expected one."""


class RunNotFound(SpatialNetError):
    """No run of this name is in the workspace."""


class RunRefused(SpatialNetError):
    """A run cannot be published, deleted, noted on, exported or imported as was asked."""


class CheckpointDoesNotFit(SpatialNetError):
    """A checkpoint's sensors, tasks or shapes do not fit the model or the data."""


class WeightsUnavailable(SpatialNetError):
    """Pretrained weights were asked for and cannot be had; random weights are never put in their place silently."""


class RecipeInvalid(SpatialNetError):
    """A training recipe holds a value outside its range."""


class TargetsInvalid(SpatialNetError):
    """Targets do not fit their task."""


class ExplanationFailed(SpatialNetError):
    """An attribution cannot be computed for this run, chip, task and class."""


class LabelRefused(SpatialNetError):
    """A label event names an unknown data set, chip, task or class, or is malformed."""


class JobRefused(SpatialNetError):
    """A job cannot be started: the same one is waiting or running, or its request is malformed."""


class ComputeUnavailable(SpatialNetError):
    """The compute process gave no answer: it is starting, busy, or it stopped."""


class DatabaseUnavailable(SpatialNetError):
    """The database cannot be opened: no such place, no access, damaged, or of a newer version."""


class PredictionRefused(SpatialNetError):
    """A prediction was asked for in a way that cannot be done."""


class NotEnoughDisk(SpatialNetError):
    """A write ran out of disk space; what was there before is unchanged."""


class ViewRefused(SpatialNetError):
    """A view of a page cannot be saved: no name, too many, or too long."""


class OutOfMemory(SpatialNetError):
    """Memory of the device or the machine ran out; what was saved last is whole."""


class DeviceUnavailable(SpatialNetError):
    """A device was asked for that this machine has not, or a GPU stopped answering."""


class AblationNotFound(SpatialNetError):
    """No ablation of this name is in the workspace."""


class ClusterUnavailable(SpatialNetError):
    """The Ray cluster of the settings does not answer, was lost, or Ray is not installed."""


class TrainingDiverged(SpatialNetError):
    """A loss is no longer a number; the last good checkpoint is kept."""
