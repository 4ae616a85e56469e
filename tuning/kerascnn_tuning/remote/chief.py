"""Chief and workers on KerasTuner's gRPC protocol, with what it lacks.

The messages are KerasTuner's. Each call also carries metadata: who calls, for which study, and
the token; failures carry their reason. KerasTuner's own server and client bind without a check,
wait for an hour, and never notice that a worker has died.
"""

from __future__ import annotations

import contextlib
import hmac
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc

from kerascnn.errors import ArgumentError
from kerascnn_tuning.errors import ChiefError
from kerascnn_tuning.internals import Trial, messages, services
from kerascnn_tuning.oracles.guarded import Guarded
from kerascnn_tuning.remote.addresses import (
    STALE_SECONDS,
    WAIT_SECONDS,
    is_loopback,
    split_address,
)

FAREWELL_SECONDS = 10.0
GRACE_SECONDS = 15.0
"""After a worker has said that it can't start, others have so long to show that they can."""


class Chief:
    """Serves an oracle until the search is finished.

    Args:
        oracle: what to serve.
        address: HOST:PORT; port 0 takes a free one, see `address`.
        study_id: workers must see the same id in the shared directory.
        token: workers must know it; "" lets everybody in.
        stale_seconds: see `STALE_SECONDS`.
        wait_seconds: see `WAIT_SECONDS`.

    Attributes:
        address: where workers call.
        server: gRPC's.

    Raises:
        ArgumentError: an address that other machines can reach, without a token.
        ChiefError: the port is taken.
    """

    def __init__(
        self,
        oracle: Guarded,
        address: str,
        *,
        study_id: str,
        token: str = "",
        stale_seconds: float = STALE_SECONDS,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        host, port = split_address(address)
        if not is_loopback(host) and not token:
            raise ArgumentError(
                f"{host} can be reached from other machines, where anybody could then take trials "
                "and report results. Pass --token-file, or bind to 127.0.0.1."
            )
        self._oracle = oracle
        self._stale, self._wait = stale_seconds, wait_seconds
        self._last_call = time.monotonic()
        self._refusals: list[tuple[float, str]] = []  # when, and why a worker can't start
        self.server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=8),
            interceptors=[_Gate(token, study_id, self._refused)],
            # Otherwise two chiefs can share a port, and each gets some of the calls.
            options=[("grpc.so_reuseport", 0)],
        )
        services().add_OracleServicer_to_server(_servicer(oracle, self._heard), self.server)
        try:
            bound = self.server.add_insecure_port(address)
        except RuntimeError:
            bound = 0
        if not bound:
            raise ChiefError(f"{address} can't be bound: the port is taken, or not this machine's.")
        self.address = f"{host}:{bound or port}"

    def _heard(self) -> None:
        self._last_call = time.monotonic()

    def _refused(self, worker: str, reason: str) -> None:
        self._refusals.append((time.monotonic(), f"{worker}: {reason}"))

    def _nobody_can_start(self) -> str | None:
        """Why there will be no worker: one has said that it can't start, and no other works."""
        if not self._refusals or self._oracle.ongoing_trials:
            return None
        why = self._refusals[-1][1]
        # Those that refuse again and again don't prolong it.
        since = max(self._last_call, self._refusals[0][0])
        if time.monotonic() - since < GRACE_SECONDS:
            return None
        return f"no worker can start. The last one that tried, {why}"

    def serve(self, poll_seconds: float = 0.5) -> str | None:
        """Block until the search is finished.

        Returns:
            Why it was stopped before its budget was used; None if it wasn't.
        """
        self.server.start()
        try:
            while not self._oracle.finished:
                # By this timer, not by workers' calls: all of them may be dead.
                self._oracle.reap(self._stale)
                if reason := self._nobody_can_start():
                    return reason
                silent = time.monotonic() - self._last_call
                if silent > self._wait:
                    return f"no worker has called for {silent:.0f} seconds."
                time.sleep(poll_seconds)
            # Workers that ask once more are told that it is over.
            end = time.monotonic() + FAREWELL_SECONDS
            while self._oracle.tuner_ids and time.monotonic() < end:
                time.sleep(poll_seconds)
            return self._oracle.reason
        finally:
            with contextlib.suppress(OSError):  # the reason has been given
                self._oracle.save()
            self.server.stop(1.0).wait()


def _servicer(oracle: Guarded, heard: Callable[[], None]) -> Any:
    """KerasTuner's service, answering for an oracle."""
    types = messages()

    class Servicer(services().OracleServicer):  # type: ignore[misc]
        def CreateTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
            heard()
            trial = oracle.create_trial(request.tuner_id)
            return types.CreateTrialResponse(trial=trial.to_proto())

        def GetTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
            heard()
            trial = oracle.get_trial(request.trial_id)
            return types.GetTrialResponse(trial=trial.to_proto())

        def UpdateTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
            heard()
            trial = oracle.trials[request.trial_id]
            if _is_whose(oracle, context, request.trial_id):
                trial = oracle.update_trial(request.trial_id, request.metrics, request.step)
            return types.UpdateTrialResponse(trial=trial.to_proto())

        def EndTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
            heard()
            trial = Trial.from_proto(request.trial)
            trial.message = _metadata(context).get("reason-bin", b"").decode("utf-8", "replace")
            if _is_whose(oracle, context, trial.trial_id):
                oracle.end_trial(trial)
            return types.EndTrialResponse()

    return Servicer()


def _is_whose(oracle: Guarded, context: Any, trial_id: str) -> bool:
    """Whether the calling worker has this trial; not if it was given up and another one has."""
    trial = oracle.ongoing_trials.get(_metadata(context).get("worker", ""))
    return trial is not None and trial.trial_id == trial_id


def _metadata(call: Any) -> dict[str, Any]:
    return dict(call.invocation_metadata())


class _Gate(grpc.ServerInterceptor):
    """Refuses callers without the token, and workers of another directory.

    A worker that can't start says so in a call's metadata; it gets no trial.
    """

    def __init__(self, token: str, study_id: str, refused: Callable[[str, str], None]) -> None:
        self._token, self._study_id, self._refused = token, study_id, refused

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Let the call through, or answer it with an error."""
        found = dict(details.invocation_metadata)
        if not hmac.compare_digest(str(found.get("token", "")).encode(), self._token.encode()):
            return _refuse(grpc.StatusCode.UNAUTHENTICATED, "wrong or missing token")
        worker = str(found.get("worker", "unnamed"))
        if found.get("study") != self._study_id:
            reason = "the worker's --dir is not the directory of the chief"
            self._refused(worker, reason)
            return _refuse(grpc.StatusCode.FAILED_PRECONDITION, reason)
        if (said := found.get("cannot-start-bin")) is not None:
            self._refused(worker, bytes(said).decode("utf-8", "replace"))
            return _refuse(grpc.StatusCode.CANCELLED, "noted")
        return continuation(details)


def _refuse(code: grpc.StatusCode, message: str) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        lambda request, context: context.abort(code, message)
    )
