"""Several processes on one machine: they are started, watched, and ended together."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from genus import errors
from genus.training.interrupts import Interrupts, TrainingInterrupted

_GRACE = 10.0
"""Seconds that the others get to end by themselves once one has failed."""

Report = tuple[str, str, int]
"""What a worker says at its end: the kind of error or "", the message, the exit code."""


def run_workers(function: Callable[..., None], arguments: tuple[Any, ...], processes: int) -> None:
    """Run ``function(*arguments)`` in several processes that can reach each other.

    Args:
        function: importable by name; it finds its rank in the environment, as under torchrun.
        arguments: copied to every process.
        processes: how many.

    Raises:
        TrainingError: the arguments cannot be sent to another process.
        TrainingInterrupted: a signal came; the workers had it too and have ended.
        GenusError: what a worker raised.
        RuntimeError: a worker died.
    """
    import torch

    payload = _packed(function, arguments)
    threads = max(1, torch.get_num_threads() // processes)
    context, port = multiprocessing.get_context("spawn"), _free_port()
    workers: list[BaseProcess] = []
    receivers: list[Connection] = []
    with _ended(workers), Interrupts().installed() as interrupts:
        for rank in range(processes):
            receiver, sender = context.Pipe(duplex=False)
            environment = _environment(rank, processes, port)
            process = context.Process(target=_worker, args=(environment, threads, payload, sender))
            process.start()
            sender.close()
            workers.append(process)
            receivers.append(receiver)
        _supervise(workers, interrupts)
    reports = [_report(r, w) for r, w in zip(receivers, workers, strict=True)]
    _raise_first(reports, interrupts.received)


def _packed(function: Callable[..., None], arguments: tuple[Any, ...]) -> bytes:
    # Plain pickling copies tensors; torch's own would share the weights between the processes.
    try:
        return pickle.dumps((function, arguments))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise errors.TrainingError(
            f"the run cannot be sent to other processes: {error}; define the model and the hooks "
            "in a module that can be imported, or use processes=1"
        ) from error


def _environment(rank: int, processes: int, port: int) -> dict[str, str]:
    return {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "LOCAL_RANK": str(rank),
        "RANK": str(rank),
        "WORLD_SIZE": str(processes),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _supervise(workers: list[BaseProcess], interrupts: Interrupts) -> None:
    """Wait for the workers; pass the first signal on, and give up when one has failed."""
    passed_on = False
    running = list(workers)
    while running:
        wait([worker.sentinel for worker in running], timeout=0.5)
        if interrupts.received and not passed_on:
            passed_on = True
            for worker in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid or 0, interrupts.received)
        if any(worker.exitcode for worker in workers):
            for worker in running:
                worker.join(_GRACE)
            return
        running = [worker for worker in running if worker.exitcode is None]


@contextlib.contextmanager
def _ended(workers: list[BaseProcess]) -> Iterator[None]:
    """Leave no worker behind."""
    try:
        yield
    finally:
        for worker in workers:
            if worker.exitcode is None:
                worker.kill()
            worker.join()


def _report(receiver: Connection, worker: BaseProcess) -> Report:
    with contextlib.suppress(EOFError):
        if receiver.poll():
            kind, message, code = receiver.recv()
            return str(kind), str(message), int(code)
    return "RuntimeError", f"a training process ended with exit code {worker.exitcode}", 1


def _raise_first(reports: list[Report], signum: int) -> None:
    """Raise what explains most: an interruption, an error of ours, then any other."""
    for kind, message, code in reports:
        if kind == TrainingInterrupted.__name__:
            raise TrainingInterrupted(message, code)
    for kind, message, _ in reports:
        cls = getattr(errors, kind, None)
        if isinstance(cls, type) and issubclass(cls, errors.GenusError):
            raise cls(message)
    failed = [message for kind, message, _ in reports if kind]
    if failed and signum:  # it came before the workers could listen
        message = "stopped before a step was made; a resumed run goes on from its last checkpoint"
        raise TrainingInterrupted(message, 128 + signum)
    if failed:
        raise RuntimeError("\n".join(failed))


def _worker(environment: dict[str, str], threads: int, payload: bytes, sender: Connection) -> None:
    """Be one process of a run: the only entry point of workers."""
    os.environ.update(environment)
    # Ctrl-C in a terminal then reaches the parent alone, which passes it on once.
    os.setsid()
    _die_with_parent()
    import torch

    torch.set_num_threads(threads)
    code = 0
    try:
        function, arguments = pickle.loads(payload)
        function(*arguments)
        sender.send(("", "", 0))
    except TrainingInterrupted as error:
        code = error.exit_code
        sender.send((type(error).__name__, str(error), code))
    except errors.GenusError as error:
        code = 1
        sender.send((type(error).__name__, str(error), code))
    except BaseException:
        code = 1
        sender.send(("RuntimeError", traceback.format_exc(), code))
    sender.close()
    sys.stdout.flush()
    sys.stderr.flush()
    # The threads of gloo may abort the process while it shuts down, after all work is done.
    os._exit(code)


def _die_with_parent() -> None:
    """End this process when its parent is killed, so that nobody writes into a run unlocked."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
