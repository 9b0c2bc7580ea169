"""With what a program is run: by itself, with wirespan, with an agent of another kind."""

import os
import pathlib
import re

from support import losses
from support.process import clean_environment
from support.receiver import Receiver

TREE = pathlib.Path(__file__).resolve().parents[3]
BUILD = TREE / os.environ.get("BUILD", "build")
NOP_BUILD = BUILD.with_name(BUILD.name + "-nop")
OPERATIONS = BUILD / "tests/bench/operations"
DRAIN = BUILD / "tests/bench/bench_drain"

PLAIN = "plain"
WIRESPAN = "wirespan"
AGENT = "agent"  # OpenTelemetry's own, of the program's language


class Cases:
    """What every family of cases needs: a folder for each run, and the arm's environment."""

    def __init__(self, folder: pathlib.Path, library: pathlib.Path):
        self.folder = folder
        self.library = library
        self.observes = NOP_BUILD not in library.parents
        self.runs = 0

    def environment(self, receiver: Receiver, arm: str) -> dict[str, str]:
        if arm == WIRESPAN:
            return clean_environment(LD_PRELOAD=str(self.library), WIRESPAN_LOG_LEVEL="info", **receiver.environment)
        if arm == AGENT:
            return clean_environment(
                OTEL_SERVICE_NAME="bench", OTEL_TRACES_EXPORTER="otlp", OTEL_METRICS_EXPORTER="none",
                OTEL_LOGS_EXPORTER="none", OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
                # They are there for tests/fidelity: what a program does not use must not cost it anything.
                OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="aiohttp-client,celery,flask,httpx,urllib3",
                **receiver.environment)
        return clean_environment()

    def new_folder(self) -> pathlib.Path:
        self.runs += 1
        path = self.folder / f"{type(self).__name__}{self.runs}"
        path.mkdir()
        return path


def duration_us(text: str) -> float:
    value, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(value) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]


def lost_share(said: str, units: int, arm: str) -> dict[str, float]:
    return {"lost": losses.spans(losses.read(said)) / units} if arm == WIRESPAN and "wirespan: lost" in said else {}
