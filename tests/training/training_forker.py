"""A process that has torch loaded and forks children that train: starting one takes no time.

Run as a program it reads one JSON request a line and answers each with one line. ``start`` forks a
child that trains as told and says its pid; ``wait`` says how a child ended. `Forker` is the other
end of the line.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).parent
# A child that gives up its rights may not be able to read the libraries that it has not loaded.
LOADED = (fcntl, resource)


class Forker:
    """Starts, kills and waits for training processes."""

    def __enter__(self):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)}
        self.server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self._ask({"op": "ready"}) == {"ready": True}
        return self

    def __exit__(self, *_):
        self.server.stdin.close()
        self.server.wait(30)
        self.server.stdout.close()

    def _ask(self, request):
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        return json.loads(self.server.stdout.readline())

    def start(self, out, **job):
        """Train ``job["model"]`` with ``job["config"]`` into ``out`` in a child; return its pid."""
        return self._ask({"op": "start", "out": str(out), **job})["pid"]

    def wait(self, pid):
        """Return the exit code of a child, or minus the signal that killed it."""
        return os.waitstatus_to_exitcode(self._ask({"op": "wait", "pid": pid})["status"])

    def train(self, out, **job):
        """Train to the end and return the exit code."""
        return self.wait(self.start(out, **job))


def kill_at(count):
    """Die before, inside or after the count-th system call that makes writes last."""
    from genus.training import atomic

    calls = 0

    def strikes():
        nonlocal calls
        calls += 1
        return calls == count

    def die():
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)

    def before(function):
        def call(*args):
            if strikes():
                die()
            done = function(*args)
            if strikes():
                die()
            return done

        return call

    write = atomic.write_durably

    def torn(path, data):
        if strikes():
            path.write_bytes(data[: len(data) // 2])
            die()
        write(path, data)

    os.fsync, os.rename, os.replace = before(os.fsync), before(os.rename), before(os.replace)
    atomic.write_durably = torn


def hooks_of(job):
    """Hooks that do to a run what the job asks for."""
    from genus.training import Hook

    class Small(Hook):
        """From a step on, files may not grow: what a full disk does."""

        def on_step(self, session):
            if session.step == job["full_at"]:
                hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
                resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_size"], hard))

    class Sleepy(Hook):
        """A step that takes very long."""

        def before_step(self, session):
            if session.step == job["sleep_at"]:
                Path(job["out"], "asleep").touch()
                time.sleep(60)

    return [*([Small()] if "full_at" in job else []), *([Sleepy()] if "sleep_at" in job else [])]


def child(job):
    """Train as the job says and return the exit code; the message goes to ``<out>.log``."""
    sys.stdout = sys.stderr = open(f"{job['out']}.log", "a", buffering=1)  # noqa: SIM115
    os.dup2(sys.stderr.fileno(), 2)
    import warnings

    from training_toys import make, toy_data

    from genus.errors import GenusError
    from genus.training import TrainConfig, TrainingInterrupted, train

    warnings.simplefilter("ignore")
    if "kill_at" in job:
        kill_at(job["kill_at"])
    if job.get("nobody") and os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    resume = (Path(job["out"]) / "config.json").exists() and job.get("resume", True)
    config = TrainConfig(**job["config"])
    model = make(job["model"])
    try:
        train(model, toy_data(), job["out"], config, hooks=hooks_of(job), resume=resume)
    except TrainingInterrupted as error:
        print(error)
        return error.exit_code
    except GenusError as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    return 0


def serve():
    """Answer requests until the line is closed."""
    import torch
    from training_toys import make, toy_data

    import genus.training.runner
    from genus.training import TrainConfig
    from genus.training.engine import Engine

    Engine(TrainConfig(steps=1))
    make("toy-chain")
    toy_data()
    assert genus.training.runner is not None
    assert torch.get_num_threads() == 1
    for line in sys.stdin:
        job = json.loads(line)
        answer = {"ready": True}
        if job["op"] == "start":
            pid = os.fork()
            if pid == 0:
                code = 99
                try:
                    code = child(job)
                except BaseException:
                    traceback.print_exc()
                os._exit(code)
            answer = {"pid": pid}
        elif job["op"] == "wait":
            answer = {"status": os.waitpid(job["pid"], 0)[1]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
