"""What can go wrong with a whole search."""

from kerascnn.errors import KerascnnError

NO_OPTUNA = "Optuna is not installed. Install it with `pip install 'kerascnn-tuning[optuna]'`."


class StudyError(KerascnnError, ValueError):
    """A study directory is missing, damaged, in use, or belongs to another search."""


class SearchError(KerascnnError, RuntimeError):
    """A search was stopped before its budget was used, for the reason that the message gives."""


class ChiefError(KerascnnError, ConnectionError):
    """The chief can't be reached, can't be started, or refuses this worker."""


class CannotStartError(KerascnnError, RuntimeError):
    """A worker can't run a study's trials with the data, the code or the devices that it has."""

    exit_status = 3
