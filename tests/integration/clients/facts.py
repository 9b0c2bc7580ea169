#!/usr/bin/env python3
"""Prints all that a process can tell of itself, as JSON; what `wirespan run` must not change."""

import ctypes
import json
import os
import resource
import sys
import time


def status() -> dict[str, str]:
    kept = ("SigQ", "SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd", "Threads", "Umask", "CapInh", "CapPrm", "CapEff",
            "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Uid", "Gid", "Groups", "TracerPid", "Cpus_allowed", "Name")
    with open("/proc/self/status", encoding="utf-8") as lines:
        told = dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)
    return {name: told[name] for name in kept if name in told and name != "SigQ"}


def descriptors() -> dict[int, str]:
    found = {}
    for number in sorted(map(int, os.listdir("/proc/self/fd"))):
        try:
            flags = open(f"/proc/self/fdinfo/{number}", encoding="utf-8").read().split("flags:\t")[1].split()[0]
            found[number] = (os.readlink(f"/proc/self/fd/{number}").split(":")[0], flags)
        except OSError:
            pass
    return found


def prctl(option: int) -> int:
    value = ctypes.c_int(-1)
    result = ctypes.CDLL(None).prctl(option, ctypes.byref(value), 0, 0, 0)
    return value.value if result == 0 else -2


def terminal() -> list:
    found = [os.isatty(number) for number in range(3)]
    try:
        found.append(os.tcgetpgrp(0) == os.getpgrp())
    except OSError as error:
        found.append(error.errno)
    return found


def child_processes() -> str:
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="utf-8") as lines:
        return lines.read()


facts = {
    "arguments": sys.argv[1:],
    "environment": dict(os.environ),
    "process": os.getpid(),
    "parent": os.getppid(),
    "is_group_leader": os.getpgrp() == os.getpid(),
    "is_session_leader": os.getsid(0) == os.getpid(),
    "group": os.getpgrp(),
    "session": os.getsid(0),
    "terminal": terminal(),
    "descriptors": descriptors(),
    "status": status(),
    "limits": {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")},
    "folder": os.getcwd(),
    "nice": os.nice(0),
    "scheduler": os.sched_getscheduler(0),
    "oom": open("/proc/self/oom_score_adj", encoding="utf-8").read(),
    "cgroup": open("/proc/self/cgroup", encoding="utf-8").read(),
    "is_subreaper": prctl(37),
    "death_signal": prctl(2),
    "slack": ctypes.CDLL(None).prctl(30, 0, 0, 0, 0),
    "dumpable": ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),
    "children": child_processes(),
    "namespaces": sorted(os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")),
    "used_before": time.process_time() < 5,
}
print(json.dumps(facts, sort_keys=True))
