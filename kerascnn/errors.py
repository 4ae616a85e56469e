"""The errors a user can meet: what was expected, what was received, what to do."""

LONGEST_MESSAGE = 4000  # signs; none of ours comes near, but what a stranger's file holds may


class KerascnnError(Exception):
    """Base of all errors that kerascnn raises on purpose; the command line prints them plainly.

    A message repeats what was received, which may be all of a stranger's file: a longer one than
    `LONGEST_MESSAGE` is shown without its middle, since it begins with the file and ends with what
    to do.

    Attributes:
        exit_status: of a command that ends with this error.
    """

    exit_status = 1

    def __str__(self) -> str:
        said = super().__str__()
        left_out = len(said) - LONGEST_MESSAGE
        if left_out <= 0:
            return said
        half = LONGEST_MESSAGE // 2
        return f"{said[:half]} [{left_out:,} signs left out] {said[-half:]}"


class UnknownNameError(KerascnnError, LookupError):
    """No architecture, dataset or command has this name."""


class DuplicateNameError(KerascnnError, ValueError):
    """Two installed distributions, or a notebook and a distribution, claim one name."""


class BrokenPluginError(KerascnnError, ImportError):
    """An entry point was found, but importing it failed or gave an object of the wrong kind."""


class NotInstalledError(KerascnnError, RuntimeError):
    """kerascnn's own entry points are missing: its source tree is not installed."""


class IncompatibleKerasError(KerascnnError, ImportError):
    """Keras lacks an internal that kerascnn reads graphs through, or has the wrong backend."""


class ArgumentError(KerascnnError, ValueError):
    """An argument is unknown, of the wrong type, or outside its legal values."""


class InputSizeError(ArgumentError):
    """The input is too small for the network."""


class InputStepError(InputSizeError):
    """The input is large enough, but not one of the sizes that the network can take.

    Attributes:
        nearest: legal sides next to the one that was received, in rising order; none where Keras
            has made it anew, of its message alone, as a layer refused what it was called with.
    """

    def __init__(self, message: str, *, nearest: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.nearest = nearest


class DataError(KerascnnError, ValueError):
    """A data set can't be found, read or used; the message names the file."""


class StrategyError(KerascnnError, ValueError):
    """A combination that tf.distribute can't run; the message names it."""


class WorkerError(KerascnnError, RuntimeError):
    """Another worker of a job on several machines has ended, or doesn't answer any more."""

    exit_status = 75  # the EX_TEMPFAIL of sysexits.h: the same command may succeed later


class RunError(KerascnnError, ValueError):
    """A run directory is missing, incomplete or belongs to something else."""


class ModelError(KerascnnError, ValueError):
    """A model's file is missing or damaged, or needs layers that aren't installed."""


class WeightsError(KerascnnError, ValueError):
    """Weights can't be found, verified or matched with the model."""


class OutOfMemoryError(KerascnnError, MemoryError):
    """The device has too little memory for what is computed at a time."""


class ExportError(KerascnnError, RuntimeError):
    """A model can't be written for another runtime, for example because a package is missing."""


class TrainingError(KerascnnError, RuntimeError):
    """Training can't go on, for example because the loss is not a number."""
