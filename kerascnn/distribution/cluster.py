"""The workers of a job on several machines, from the environment that started this process.

Understood are, in this order: TF_CONFIG, TensorFlow's own variable; KERASCNN_WORKERS, a list of
addresses, with JOB_COMPLETION_INDEX, which Kubernetes gives the pods of an indexed job; and what
SLURM's `srun` sets. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from kerascnn.errors import StrategyError

TF_CONFIG = "TF_CONFIG"
WORKERS = "KERASCNN_WORKERS"
FIRST_PORT = "KERASCNN_PORT"
PORT = 8470  # of the first worker on a machine, where nothing says another
EXAMPLE = (
    '{"cluster": {"worker": ["host0:8470", "host1:8470"]}, "task": {"type": "worker", "index": 0}}'
)


@dataclass(frozen=True)
class Cluster:
    """All workers of a job, and which of them this process is.

    Attributes:
        workers: `host:port` of each.
        index: this process's place in `workers`; the first is the chief.
    """

    workers: tuple[str, ...]
    index: int

    @property
    def tf_config(self) -> str:
        """As TensorFlow reads it."""
        task = {"type": "worker", "index": self.index}
        return json.dumps({"cluster": {"worker": list(self.workers)}, "task": task})


def find(environment: Mapping[str, str]) -> Cluster:
    """The cluster that the environment describes.

    Raises:
        StrategyError: it describes none, or not completely.
    """
    if environment.get(TF_CONFIG):
        return _from_tf_config(environment[TF_CONFIG])
    if environment.get(WORKERS):
        return _from_list(environment)
    if "SLURM_PROCID" in environment:
        return _from_slurm(environment)
    raise StrategyError(
        "strategy multiworker needs to know its workers. Start a local job with `kerascnn launch "
        "-n 2 train ...`, start it with SLURM's srun, or set for each process TF_CONFIG, such as "
        f"{EXAMPLE}, or {WORKERS}=host0:{PORT},host1:{PORT} with JOB_COMPLETION_INDEX."
    )


def _from_tf_config(text: str) -> Cluster:
    def wrong(what: str) -> StrategyError:
        return StrategyError(f"TF_CONFIG {what}. Expected such as {EXAMPLE}. Received: {text!r}.")

    try:
        config = json.loads(text)
        jobs, task = dict(config["cluster"]), dict(config["task"])
        kind, index = str(task["type"]), int(task["index"])
        groups = {name: tuple(map(str, list(hosts))) for name, hosts in jobs.items()}
    except ValueError as error:
        raise wrong(f"is no valid JSON of this form ({error})") from None
    except (KeyError, TypeError) as error:
        raise wrong(f"lacks a part ({type(error).__name__}: {error})") from None
    if others := set(groups) - {"chief", "worker"}:
        raise wrong(f"names jobs that are no workers: {', '.join(sorted(others))}")
    if kind not in groups or not 0 <= index < len(groups[kind]):
        raise wrong(f"names a task, {kind} {index}, that is not in its cluster")
    chiefs = groups.get("chief", ())
    workers = (*chiefs, *groups.get("worker", ()))
    return _checked(workers, index + (len(chiefs) if kind == "worker" else 0), "TF_CONFIG")


def _from_list(environment: Mapping[str, str]) -> Cluster:
    index = _number(environment, "JOB_COMPLETION_INDEX", "SLURM_PROCID")
    return _checked(tuple(environment[WORKERS].replace(" ", "").split(",")), index, WORKERS)


def _from_slurm(environment: Mapping[str, str]) -> Cluster:
    """One worker for each task of the job step; tasks are numbered node by node."""
    index = _number(environment, "SLURM_PROCID")
    nodes = expand(_first(environment, "SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"))
    counts = _counts(
        _first(environment, "SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"), len(nodes)
    )
    if environment.get("SLURM_DISTRIBUTION", "block").split(",")[0].split(":")[0] != "block":
        raise StrategyError(
            "strategy multiworker needs SLURM's tasks numbered node by node. Use "
            f"--distribution=block. Received: {environment['SLURM_DISTRIBUTION']!r}."
        )
    port = _number(environment, FIRST_PORT) if environment.get(FIRST_PORT) else PORT
    workers = tuple(
        f"{node}:{port + task}" for node, tasks in zip(nodes, counts) for task in range(tasks)
    )
    return _checked(workers, index, "SLURM's environment")


def expand(nodes: str) -> list[str]:
    """SLURM's list of nodes written out: "gpu[08-10,12],login" → gpu08 gpu09 gpu10 gpu12 login."""
    found: list[str] = []
    for prefix, ranges, suffix in re.findall(r"([^,\[\]]+)(?:\[([^\]]*)\])?([^,\[\]]*)", nodes):
        for part in ranges.split(",") if ranges else [""]:
            first, _, last = part.partition("-")
            numbers = range(int(first), int(last) + 1) if last else []
            middle = [f"{number:0{len(first)}}" for number in numbers] or [first]
            found += [f"{prefix}{text}{suffix}" for text in middle]
    return found


def _counts(text: str, nodes: int) -> list[int]:
    """SLURM's tasks on each node: "2(x3),1" → 2 2 2 1."""
    found: list[int] = []
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):
        found += [int(count)] * int(times or 1)
    if len(found) != nodes:
        raise StrategyError(
            f"SLURM's tasks for each node should be {nodes} numbers. Received: {text!r}."
        )
    return found


def _number(environment: Mapping[str, str], *names: str) -> int:
    text = _first(environment, *names)
    if not text.isdecimal():
        raise StrategyError(f"{' or '.join(names)} must be a whole number. Received: {text!r}.")
    return int(text)


def _first(environment: Mapping[str, str], *names: str) -> str:
    for name in names:
        if environment.get(name):
            return environment[name]
    raise StrategyError(f"strategy multiworker needs {' or '.join(names)}, which isn't set.")


def _checked(workers: tuple[str, ...], index: int, source: str) -> Cluster:
    bad = [worker for worker in workers if not re.fullmatch(r"[^\s:]+:\d+|\[[^\]]+\]:\d+", worker)]
    if bad or not workers:
        raise StrategyError(
            f"{source} must name each worker as host:port. Received: {bad[0] if bad else 'none'}."
        )
    if len(set(workers)) < len(workers):
        raise StrategyError(f"{source} names a worker twice. Received: {', '.join(workers)}.")
    if not 0 <= index < len(workers):
        raise StrategyError(
            f"{source} names {len(workers)} workers; this process's number must be 0 to "
            f"{len(workers) - 1}. Received: {index}."
        )
    return Cluster(workers, index)
