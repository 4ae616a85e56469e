"""A worker's end of the wire."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc

from kerascnn_tuning.errors import ChiefError
from kerascnn_tuning.internals import Trial, messages, services
from kerascnn_tuning.remote.addresses import STALE_SECONDS, WAIT_SECONDS, split_address

DEADLINE_SECONDS = 30.0
LARGEST_REASON = 2000

_PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class Client:
    """A worker's end: an oracle as `kerascnn_tuning.working.work` needs it.

    Args:
        address: the chief's HOST:PORT.
        worker: this worker's id.
        study_id: what it read in the shared directory.
        token: the shared secret.
        patience: seconds to go on trying while the chief doesn't answer.
        stale_seconds: the chief's; heartbeats come six times as often.

    Every method raises ChiefError if the chief refuses the call or stays away.
    """

    def __init__(
        self,
        address: str,
        *,
        worker: str,
        study_id: str,
        token: str = "",
        patience: float = WAIT_SECONDS,
        stale_seconds: float = STALE_SECONDS,
    ) -> None:
        split_address(address)
        self._address, self._patience = address, patience
        self._pulse = stale_seconds / 6
        self._metadata = (("worker", worker), ("study", study_id), ("token", token))
        self._channel = grpc.insecure_channel(
            address,
            # A restarted chief is found within seconds, not minutes.
            options=[("grpc.max_reconnect_backoff_ms", 2000), ("grpc.enable_http_proxy", 0)],
        )
        self._stub = services().OracleStub(self._channel)

    def close(self) -> None:
        """Hang up."""
        self._channel.close()

    def create_trial(self, tuner_id: str) -> Trial:
        """See `Guarded.create_trial`."""
        request = messages().CreateTrialRequest(tuner_id=tuner_id)
        return Trial.from_proto(self._call(self._stub.CreateTrial, request).trial)

    def update_trial(self, trial_id: str, metrics: dict[str, float]) -> Trial:
        """See `Guarded.update_trial`."""
        request = messages().UpdateTrialRequest(trial_id=trial_id, metrics=metrics, step=0)
        return Trial.from_proto(self._call(self._stub.UpdateTrial, request).trial)

    def end_trial(self, trial: Trial) -> None:
        """See `Guarded.end_trial`; the reason of a failure goes with it."""
        reason = (trial.message or "").encode()[:LARGEST_REASON]
        request = messages().EndTrialRequest(trial=trial.to_proto())
        self._call(self._stub.EndTrial, request, (("reason-bin", reason),))

    def cannot_start(self, reason: str) -> None:
        """Tell the chief why this worker will never run a trial; without patience."""
        text = reason.encode()[:LARGEST_REASON]
        with contextlib.suppress(grpc.RpcError):  # also the answer that it is noted
            self._stub.CreateTrial(
                messages().CreateTrialRequest(tuner_id=""),
                timeout=DEADLINE_SECONDS,
                metadata=(*self._metadata, ("cannot-start-bin", text)),
                wait_for_ready=True,
            )

    @contextlib.contextmanager
    def alive(self, trial_id: str) -> Iterator[None]:
        """Ask for the trial again and again while the block runs: a sign of life."""
        ended = threading.Event()

        def beat() -> None:
            request = messages().GetTrialRequest(trial_id=trial_id)
            while not ended.wait(self._pulse):
                # A chief that is away for a moment will hear the next one.
                with contextlib.suppress(grpc.RpcError):
                    self._stub.GetTrial(request, timeout=self._pulse, metadata=self._metadata)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _call(self, method: Any, request: Any, more: tuple[Any, ...] = ()) -> Any:
        """One call, repeated while the chief is away; all of them may arrive twice."""
        end = time.monotonic() + self._patience
        while True:
            try:
                return method(request, timeout=DEADLINE_SECONDS, metadata=(*self._metadata, *more))
            except grpc.RpcError as error:
                if error.code() not in _PASSING:
                    raise ChiefError(
                        f"The chief at {self._address} refused: {error.details()}."
                    ) from None
                if time.monotonic() > end:
                    raise ChiefError(
                        f"The chief at {self._address} has not answered for "
                        f"{self._patience:.0f} seconds."
                    ) from None
                time.sleep(0.5)
