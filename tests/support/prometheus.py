"""A real Prometheus for tests: Debian's, on a loopback port, with a history that the test generates."""

import re
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from examples.lab.ports import free_port
from tests.support import lab_programs

SERIES = Mapping[str, str]
DEADLINE_SECONDS = 60


@dataclass
class History:
    """The samples of the past. Staleness markers cannot be made this way; they come from scraping."""

    lines: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, labels: SERIES, points: Iterable[tuple[float, float]]) -> None:
        """Adds ``points`` of (seconds since 1970, value)."""
        text = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items())
        found = self.lines.setdefault(name, [])
        found += [f"{name}{{{text}}} {_number(value)} {at:.3f}" for at, value in points]

    def counter(self, name: str, labels: SERIES, times: Sequence[float], per_second: float, start: float = 0) -> None:
        """Adds a counter that begins at ``start`` at the first of ``times``, and has a sample at each of them."""
        self.add(name, labels, [(at, round(start + per_second * (at - times[0]))) for at in times])

    def write(self, path: Path) -> None:
        """Writes the series to ``path`` in the form of OpenMetrics."""
        text = "\n".join(line for name in sorted(self.lines) for line in self.lines[name])
        path.write_text(f"{text}\n# EOF\n")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(repr(float(value)), repr(float(value)))


@contextmanager
def run_prometheus(
    directory: Path, history: History | None = None, scrape: str = "", web: str = "", flags: Sequence[str] = ()
) -> Iterator[str]:
    """Runs Prometheus and yields its address, ``127.0.0.1:<port>``.

    ``scrape`` holds scrape_configs in YAML, ``web`` the contents of a web configuration file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    data = directory / "data"
    data.mkdir(exist_ok=True)
    if history is not None and history.lines:
        history.write(directory / "history.txt")
        backfill = ["tsdb", "create-blocks-from", "openmetrics", str(directory / "history.txt"), str(data)]
        subprocess.run(
            [lab_programs.find("promtool", package="prometheus"), *backfill], check=True, capture_output=True
        )
    (directory / "prometheus.yml").write_text(scrape or "scrape_configs: []\n")
    (directory / "web.yml").write_text(web)
    address = f"127.0.0.1:{free_port()}"
    command = [
        lab_programs.find("prometheus", package="prometheus"),
        f"--config.file={directory}/prometheus.yml",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address={address}",
        f"--web.config.file={directory}/web.yml",
        "--log.level=info",
        *flags,
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        log: list[str] = []
        ready = threading.Event()
        reader = threading.Thread(target=_read, args=(process.stderr, log, ready), daemon=True)
        reader.start()
        try:
            assert ready.wait(DEADLINE_SECONDS), f"prometheus is not ready: {log[-10:]}"
            yield address
        finally:
            process.terminate()
            reader.join()


def _read(stream: Iterable[str], log: list[str], ready: threading.Event) -> None:
    for line in stream:
        log.append(line)
        if re.search("Server is ready to receive web requests", line):
            ready.set()
