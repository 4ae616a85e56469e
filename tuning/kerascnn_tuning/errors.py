"""What can go wrong with a whole search."""

from kerascnn.errors import KerascnnError


class StudyError(KerascnnError, ValueError):
    """A study directory is missing, damaged, in use, or belongs to another search."""


class SearchError(KerascnnError, RuntimeError):
    """A search was stopped before its budget was used, for the reason that the message gives."""


class ChiefError(KerascnnError, ConnectionError):
    """The chief can't be reached, can't be started, or refuses this worker."""
