"""What a process has cost so far, from /proc: processor time by side, memory, wake-ups."""

import pathlib
import re

EXPORTER = "wirespan"


def thread_times(pid: int) -> dict[str, float]:
    """Processor seconds so far: of the exporter's thread, of the others. Scheduler statistics have
    nanoseconds; a thread that has ended is in neither, so they are read while the program lives."""
    found = {"application": 0.0, "exporter": 0.0}
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        try:
            name = (task / "comm").read_text().strip()
            seconds = int((task / "schedstat").read_text().split()[0]) / 1e9
        except (FileNotFoundError, ProcessLookupError):
            continue
        found["exporter" if name == EXPORTER else "application"] += seconds
    return found


def memory_kib(pid: int) -> int:
    """What is this process's alone, and what it shares by mapping."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kib) for kib in re.findall(r"^(?:Private_Dirty|Pss_Shmem):\s+(\d+) kB", text, re.MULTILINE))


def wake_ups(pid: int) -> int:
    """Of the exporter's thread, so far."""
    count = 0
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        if (task / "comm").read_text().strip() == EXPORTER:
            status = (task / "status").read_text()
            count += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.MULTILINE)[1])
    return count


def sleeps(pid: int) -> int:
    """How often any of its threads went to sleep so far; each but the last was woken up."""
    found = 0
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        found += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.MULTILINE)[1])
    return found


def seconds_of(pid: int, everything: bool) -> float:
    """Processor time so far: of the whole process, or of the exporter's thread alone."""
    times = thread_times(pid)
    return sum(times.values()) if everything else times["exporter"]


def children(pid: int) -> list[int]:
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def per_unit(before: dict, after: dict, units: int) -> dict[str, float]:
    """Nanoseconds of processor time for each unit of work, by side and together."""
    spent = {side: after[side] - before[side] for side in before}
    return {
        "cpu_per_unit": sum(spent.values()) / units * 1e9,
        "application_cpu_per_unit": spent["application"] / units * 1e9,
        "exporter_cpu_per_unit": spent["exporter"] / units * 1e9,
    }
