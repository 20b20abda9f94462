#!/usr/bin/env python3
"""The inference server compared with other servers, and with the bare runtime: ``make bench-server``.

One core is for the server, another for the client (tests/bench/http_load.py), over the loopback; models and settings of
ONNX Runtime are the same. Each of the others is installed from PyPI into its own environment. The rounds of all servers
alternate, so that a slow minute of the machine affects each. The benchmark prints tables and writes
build/bench/server.json. With ``--before CHECKOUT`` the server of another checkout of this project takes part, and the
tables end with ratios.
"""

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "operator")]

import onnxruntime  # noqa: E402 - the path is set now

from charts.images import building, catalogue, pruning  # noqa: E402
from charts.images.wheels import COMMON, requirements  # noqa: E402
from examples.lab.ports import free_port  # noqa: E402
from tests.bench import server_models  # noqa: E402
from tests.bench.environments import ENVIRONMENTS, environment  # noqa: E402
from tests.bench.prerequisites import DebianPackage, Environment, Prerequisite, Processors, require  # noqa: E402
from tests.bench.progress import progress  # noqa: E402
from tests.bench.report import show_targets, write_report  # noqa: E402
from tests.bench.server_models import Case  # noqa: E402

PEERS = {
    "FastAPI": ("fastapi", ["fastapi", "uvicorn[standard]"]),
    "KServe": ("kserve", ["kserve"]),
    "MLServer": ("mlserver", ["mlserver"]),
    "LitServe": ("litserve", ["litserve"]),
    "BentoML": ("bentoml", ["bentoml"]),
}
OURS, PLAIN, TWO_CORES, RAW = "ours", "ours, no fast path", "ours, two cores", "onnxruntime alone"
BEFORE = {"before": "OURS", "before, no fast path": "PLAIN", "before, two cores": "TWO_CORES"}
"""The servers of another checkout -> their names in its own copy of this file."""
AFTER = {"before": OURS, "before, no fast path": PLAIN, "before, two cores": TWO_CORES}
SERVER_CORE, CLIENT_CORE = 0, 1
TASKSET = DebianPackage("util-linux", "taskset", "a server with a core of its own")


@dataclass(frozen=True)
class Round:
    """One round of requests to one server for one model."""

    server: str
    case: str
    connections: int
    per_second: float
    p50: float
    """The median latency in milliseconds."""
    p99: float
    p999: float
    pss_mb: float
    ready_seconds: float


def _needed_by(peer: str) -> Environment:
    """Returns a peer's environment, with the same ONNX Runtime as ours."""
    name, wanted = PEERS[peer]
    return Environment(name, [*wanted, f"onnxruntime=={onnxruntime.__version__}", "numpy"])


def _environment(peer: str) -> Path:
    """Returns the Python of a peer's environment."""
    needed = _needed_by(peer)
    return environment(needed.name, needed.requirements)


def prerequisites(options: argparse.Namespace) -> list[Prerequisite]:
    """Returns the processors, the models and the servers that are compared."""
    processors = Processors(2, "a core for the server and one for the client")
    return [
        processors,
        TASKSET,
        *server_models.PREREQUISITES,
        *(_needed_by(peer) for peer in options.servers if peer in PEERS),
    ]


def our_packages() -> Path:
    """Returns the folder of the packages in the server's image: its lock file, without what no request needs."""
    (wheels,) = catalogue.SERVER.wheels
    wanted_text = requirements(wheels, building.LOCKS)
    key = hashlib.sha256(f"{wanted_text}{wheels}".encode()).hexdigest()[:12]
    folder = ENVIRONMENTS / f"ours-{key}"
    packages = folder / "packages"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(f"installing ours into {folder}", flush=True)
        wanted = folder / "wanted.txt"
        wanted.write_text(wanted_text)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        subprocess.run([*pip, "--target", str(packages), "-r", str(wanted)], check=True)
        pruning.prune(packages, COMMON)
        pruning.prune(packages, wheels.pruned)
        (folder / "complete").touch()
    return packages


def size_mb(folder: Path) -> float:
    """Returns the size of all its files except bytecode, pip and related packages."""
    skipped = ("pip", "setuptools", "_distutils_hack", "pkg_resources")
    total = 0
    for entry in folder.iterdir():
        if entry.name.startswith(skipped):
            continue
        files = [entry] if entry.is_file() else [path for path in entry.rglob("*") if path.is_file()]
        total += sum(path.stat().st_size for path in files if "__pycache__" not in path.parts)
    return total / 1e6


def installed_mb(server: str) -> float:
    """Returns the size of the packages that a server needs, in MB."""
    if server == OURS:
        return size_mb(our_packages())
    (packages,) = (_environment(server).parents[1] / "lib").glob("python3*/site-packages")
    return size_mb(packages)


def command(server: str, case: Case, port: int) -> tuple[list[str], dict[str, str]]:
    """Returns the command that starts a server with the model of a case, and its environment."""
    one_thread = {"OMP_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
    if server in (OURS, PLAIN, TWO_CORES):
        threads = "2" if server == TWO_CORES else "1"
        argv = [
            sys.executable,
            "-S",
            "-m",
            "inference_server",
            str(case.path),
            "--model",
            "m",
            "--concurrency",
            threads,
        ]
        flags = ["--host", "127.0.0.1", "--port", str(port), *(["--disable-fast-path"] if server == PLAIN else [])]
        return [*argv, *flags], {**one_thread, "PYTHONPATH": f"{our_packages()}:{ROOT / 'operator'}:{ROOT}"}
    script = ROOT / f"tests/bench/peers/{PEERS[server][0]}_peer.py"
    return [str(_environment(server)), str(script), str(case.path), str(port)], one_thread


def command_of(checkout: Path, server: str, case: Case, port: int) -> tuple[list[str], dict[str, str]]:
    """Returns the result of ``command`` of another checkout for this server, whose flags have other names there."""
    program = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
root, server, model, port = sys.argv[1:]
sys.path[:0] = [root, root + "/operator"]
from tests.bench import server as bench
print(json.dumps(bench.command(getattr(bench, server), SimpleNamespace(path=Path(model)), int(port))))
"""
    argv = [sys.executable, "-c", program, str(checkout), BEFORE[server], str(case.path), str(port)]
    done = subprocess.run(argv, cwd=checkout, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{checkout}: {done.stderr[-1000:]}")
    found, variables = json.loads(done.stdout.splitlines()[-1])
    return found, variables


@contextlib.contextmanager
def running(server: str, case: Case, before: Path | None) -> Iterator[tuple[int, int, float]]:
    """Yields the (port, process id, seconds from its start to its first good answer) of a server on its core."""
    port = free_port()
    if server in BEFORE and before is not None:
        argv, variables = command_of(before, server, case, port)
    else:
        argv, variables = command(server, case, port)
    two = server in (TWO_CORES, "before, two cores")
    cores = f"{SERVER_CORE},{CLIENT_CORE}" if two else str(SERVER_CORE)
    pinned = ["taskset", "-c", cores, *argv]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        base = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        started = time.perf_counter()
        process = subprocess.Popen(
            pinned, env={**base, **variables}, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
        try:
            while not answers(port, case):
                if process.poll() is not None or time.perf_counter() - started > 90:
                    raise RuntimeError(f"{server} does not answer: {(Path(folder) / 'log').read_text()[-2000:]}")
                time.sleep(0.005)
            yield port, process.pid, time.perf_counter() - started
        finally:
            end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Asks a process to end, and kills what it leaves running."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def answers(port: int, case: Case) -> bool:
    """Returns whether the server answers a request of the case with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/v2/models/m/infer", case.body, dict(case.headers))
        response = connection.getresponse()
        response.read()
        return response.status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def pss_mb(root: int) -> float:
    """Returns the memory of a process and its descendants, in which shared pages count in part."""
    total = 0
    todo = [root]
    while todo:
        pid = todo.pop()
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
            todo += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return total / 1000


def measure(server: str, case: Case, connections: int, seconds: float, before: Path | None = None) -> Round:
    """Starts a server, loads it for ``seconds``, and returns the figures."""
    with running(server, case, before) as (port, pid, ready), tempfile.NamedTemporaryFile() as request:
        request.write(case.request(f"127.0.0.1:{port}"))
        request.flush()
        asking = [sys.executable, str(ROOT / "tests/bench/http_load.py"), "127.0.0.1", str(port), request.name]
        flags = ["--connections", str(connections), "--seconds", str(seconds)]
        done = subprocess.run(
            ["taskset", "-c", str(CLIENT_CORE), *asking, *flags], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{server}, {case.name}: {done.stderr[-500:]}")
        found = json.loads(done.stdout)
        memory = pss_mb(pid)
    return Round(
        server, case.name, connections, found["per_second"], found["p50"], found["p99"], found["p99.9"], memory, ready
    )


def measure_raw(case: Case, seconds: float) -> Round:
    """Measures ONNX Runtime in a process of its own, without any server, on the server's core."""
    program = [sys.executable, str(ROOT / "tests/bench/raw_load.py"), str(case.path), str(seconds)]
    feeds = {name: (array.tolist(), str(array.dtype)) for name, array in case.feeds.items()}
    done = subprocess.run(
        ["taskset", "-c", str(SERVER_CORE), *program],
        input=json.dumps(feeds),
        capture_output=True,
        text=True,
        check=True,
    )
    per_second = json.loads(done.stdout)["per_second"]
    each = 1000 / per_second
    return Round(RAW, case.name, 1, per_second, each, each, each, 0.0, 0.0)


def median_of(rounds: Sequence[Round], value: Callable[[Round], float]) -> float:
    """Returns the median of a figure over several rounds."""
    return statistics.median(map(value, rounds))


def show(case: str, rounds: Sequence[Round]) -> None:
    """Prints the figures of one case, a line for each server."""
    print(f"\n{case}")
    print(
        f"{'':20}{'requests/s':>12}{'of raw':>8}{'p50 ms':>9}{'p99 ms':>9}{'p99.9 ms':>10}{'PSS MB':>8}{'ready s':>9}"
    )
    raw = median_of([r for r in rounds if r.server == RAW], lambda r: r.per_second)
    for server in dict.fromkeys(r.server for r in rounds):
        mine = [r for r in rounds if r.server == server]
        rate = median_of(mine, lambda r: r.per_second)
        times = "".join(
            f"{median_of(mine, value):{width}.3f}"
            for value, width in ((lambda r: r.p50, 9), (lambda r: r.p99, 9), (lambda r: r.p999, 10))
        )
        rest = f"{median_of(mine, lambda r: r.pss_mb):8.0f}{median_of(mine, lambda r: r.ready_seconds):9.2f}"
        print(f"{server:20}{rate:12,.0f}{rate / raw:8.1%}{times}{'' if server == RAW else rest}", flush=True)


def show_ratios(rounds: Sequence[Round]) -> None:
    """Prints the ratios of after to before: each round to the adjacent one, and of these the median."""
    print(f"\nafter / before{'':42}{'requests/s':>12}{'p50':>7}{'p99':>7}{'PSS':>7}{'ready':>7}")
    for name, after in AFTER.items():
        for case in dict.fromkeys(r.case for r in rounds):
            old, new = ([r for r in rounds if (r.server, r.case) == (server, case)] for server in (name, after))
            pairs = list(zip(old, new, strict=False))
            if not pairs:
                continue
            values = (
                lambda r: r.per_second,
                lambda r: r.p50,
                lambda r: r.p99,
                lambda r: r.pss_mb,
                lambda r: r.ready_seconds,
            )
            first, *rest = (statistics.median(value(n) / value(o) for o, n in pairs) for value in values)
            print(f"{case + ': ' + after:56}{first:12.3f}" + "".join(f"{value:7.2f}" for value in rest))


def targets(rounds: Sequence[Round], install_mb: float) -> Iterator[dict[str, Any]]:
    """Yields the targets with their values."""

    def of(server: str, case: str, value: Callable[[Round], float]) -> float:
        return median_of([r for r in rounds if (r.server, r.case) == (server, case)], value)

    def target(name: str, goal: str, value: float, unit: str, holds: bool) -> dict[str, Any]:
        return {"name": name, "goal": goal, "value": round(value, 3), "unit": unit, "holds": bool(holds)}

    measured = {(r.server, r.case) for r in rounds}
    tiny = server_models.TINY
    if (OURS, tiny) in measured:
        rate = of(OURS, tiny, lambda r: r.per_second)
        yield target("tiny MLP, JSON, one core", ">= 40000", rate, "requests/s", rate >= 40_000)
        p99 = of(OURS, tiny, lambda r: r.p99)
        yield target("tiny MLP, JSON: p99", "<= 0.5", p99, "ms", p99 <= 0.5)
        memory = of(OURS, tiny, lambda r: r.pss_mb)
        yield target("tiny MLP: PSS", "<= 70", memory, "MB", memory <= 70)
        ready = of(OURS, tiny, lambda r: r.ready_seconds)
        yield target("from start to first answer", "<= 0.4", ready, "s", ready <= 0.4)
    yield target("installed", "<= 115", install_mb, "MB", install_mb <= 115)
    case = server_models.MAGIKA
    if {(OURS, case), (TWO_CORES, case)} <= measured:
        gain = of(TWO_CORES, case, lambda r: r.per_second) / of(OURS, case, lambda r: r.per_second)
        yield target(f"{case}: two cores against one", ">= 1.8", gain, "", gain >= 1.8)
    for case, goal in server_models.SHARE_OF_RAW.items():
        if (OURS, case) in measured:
            share = of(OURS, case, lambda r: r.per_second) / of(RAW, case, lambda r: r.per_second)
            yield target(f"{case}: share of the bare runtime", f">= {goal}", share, "", share >= goal)


def main() -> None:
    """Measures the servers by turns, and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--servers", nargs="*", default=[OURS, PLAIN, TWO_CORES, *PEERS], choices=[OURS, PLAIN, TWO_CORES, *PEERS]
    )
    parser.add_argument("--cases", nargs="*", help="names, as they are printed; all of them if not given")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="also the server of this checkout, and ratios")
    options = parser.parse_args()
    require(prerequisites(options))
    servers = options.servers
    if options.before is not None:  # each beside its counterpart, so that a slow minute affects both
        before = {after: name for name, after in AFTER.items()}
        servers = [name for server in servers for name in (server, before.get(server)) if name is not None]
    told = progress()
    with tempfile.TemporaryDirectory() as folder:
        cases = [
            case
            for case in server_models.make(Path(folder), ENVIRONMENTS)
            if case.name in (options.cases or [case.name])
        ]
        rounds: list[Round] = []
        for case in cases:
            for number in range(options.rounds):
                told.count(f"{case.name}: round", number + 1, options.rounds)
                rounds.append(measure_raw(case, options.seconds))
                for server in servers:
                    kind = AFTER.get(server, server)
                    if case.binary and kind not in (OURS, PLAIN, "KServe"):
                        continue  # the others do not accept binary tensors
                    if kind == TWO_CORES and case.name != server_models.MAGIKA:
                        continue
                    rounds.append(measure(server, case, 8, options.seconds, options.before))
            show(f"{case.name}, 8 connections", [r for r in rounds if r.case == case.name])
    if options.before is not None:
        show_ratios(rounds)
    install_mb = installed_mb(OURS)
    sizes = ", ".join(f"{server} {installed_mb(server):.0f}" for server in servers if server in (OURS, *PEERS))
    print(f"\ninstalled beside Python, MB: {sizes}")
    goals = list(targets(rounds, install_mb))
    show_targets(goals)
    machine = f"{platform.machine()}, {os.cpu_count()} processors, onnxruntime {onnxruntime.__version__}"
    write_report("server", goals, machine, [asdict(r) for r in rounds])


if __name__ == "__main__":
    main()
