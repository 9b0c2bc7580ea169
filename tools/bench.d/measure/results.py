"""Runs become ratios, lines on the terminal, and a table."""

import statistics

# What is to be reached: (case, number) -> at most.
GOALS = {
    ("nginx", "cpu_per_unit"): 1.15,
    ("node_server", "cpu_per_unit"): 1.15,
    ("node_client", "cpu_per_unit"): 1.10,
    ("ioredis_pipelines", "cpu_per_unit"): 1.30,
    ("bullmq", "cpu_per_unit"): 1.10,
    ("redis_benchmark", "cpu_per_unit"): 1.15,
    ("redis_benchmark_16", "application_cpu_per_unit"): 1.40,
    ("python_worker", "cpu_per_unit"): 1.03,
    ("slow_worker", "cpu_per_unit"): 1.02,
    ("http_client", "added_ns"): 350,
    ("http_server", "added_ns"): 350,
    ("redis_16", "added_ns"): 80,
    ("start", "added_ns"): 300_000,
    ("nginx", "added_kib"): 12 * 1024,
    ("idle", "wake_ups_per_s"): 1,
    ("redis_benchmark_16", "exporter_ns_per_span"): 600,
    ("launched_idle", "wake_ups_per_s"): 0,
    ("launched_memory_1", "added_kib"): 2 * 1024 + 1,
    ("launched_memory_1000", "added_kib"): 2 * 1024 + 1000,
    ("launched_http_client", "added_ns"): 350,
    ("launched_redis_16", "added_ns"): 80,
    ("sustained_1000000", "lost"): 0,
    ("sustained_1000000", "exporter_ns_per_span"): 600,
    ("sustained_launched_1000000", "lost"): 0,
    ("sustained_launched_1000000", "exporter_ns_per_span"): 600,
    ("worker_side", "redis_batched"): 600,
    ("worker_side", "http_batched"): 600,
}

# What the table names the cases, and the number of each that it shows.
TITLES = {
    "nginx": "nginx, small file, wrk with 32 connections: CPU",
    "node_server": "Node `http` server, the same: CPU",
    "node_client": "Node `http` client, 16 kept connections: CPU",
    "ioredis_pipelines": "ioredis, pipelines of ten: CPU",
    "bullmq": "BullMQ worker, 3000 jobs: CPU",
    "redis_benchmark": "redis-benchmark, 50 connections: CPU",
    "redis_benchmark_16": "the same, pipelines of 16: CPU of its own threads",
    "python_worker": "Python worker, requests and redis-py: CPU",
    "slow_worker": "the same at 100 exchanges a second: CPU",
    "file_read": "`read` of a descriptor that is no socket",
    "http_client": "HTTP exchange of 64 + 64 bytes, asking",
    "http_server": "the same, answering",
    "http_client_usual": "HTTP exchange with usual headers, asking",
    "http_server_usual": "the same, answering",
    "redis_1": "Redis command and answer",
    "redis_16": "pipelined Redis command and answer",
    "start": "start of `/bin/true`",
    "idle": "idle, in the process: wake-ups a second",
    "launched_http_client": "under `wirespan run`: HTTP exchange of 64 + 64 bytes, asking",
    "launched_http_client_usual": "under `wirespan run`: the same with usual headers",
    "launched_redis_16": "under `wirespan run`: pipelined Redis command and answer",
    "launched_idle": "under `wirespan run`, idle: wake-ups a second",
    "launched_memory_1": "under `wirespan run`: memory of a program with one connection",
    "launched_memory_1000": "under `wirespan run`: memory with 1000 connections",
    "worker_side": "span, from record to batch",
    "sustained_1000000": "span, from record to bytes sent, 1,000,000 a second",
    "sustained_launched_1000000": "the same by the drainer of `wirespan run`",
}
SHOWN = ("application_cpu_per_unit", "cpu_per_unit", "added_ns", "wake_ups_per_s", "http_batched",
         "exporter_ns_per_span", "added_kib")


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values)}


def compare(plain: list[dict], other: list[dict]) -> dict[str, dict]:
    """Ratios of the pairs; where nothing of the kind is there plain, the values themselves."""
    result = {}
    for name in {name: None for run in other for name in run}:
        values = [run[name] for run in other if name in run]
        pairs = [(a[name], b[name]) for a, b in zip(plain, other) if a.get(name) and name in b]
        if name == "ns":
            result["added_ns"] = spread([b - a for a, b in pairs])
        elif name == "memory_kib":
            result["added_kib"] = spread([b - a for a, b in pairs])
        elif name in ("lost", "wake_ups_per_s", "exporter_ns_per_span") or not pairs:
            result[name] = spread(values)
        else:
            result[name] = spread([b / a for a, b in pairs])
    return result


def print_case(case: str, arm: str, result: dict[str, dict]) -> None:
    for number, (name, values) in enumerate(result.items()):
        goal = GOALS.get((case, name)) if arm == "wirespan" else None
        verdict = "" if goal is None else f"  goal {goal:g}: {'met' if values['median'] <= goal else 'NOT met'}"
        print(f"{f'{case} ({arm})' if number == 0 else '':32}{name:26}{values['median']:12.3f}"
              f"  [{values['least']:.3f} .. {values['greatest']:.3f}]{verdict}", flush=True)


def shown(case: str, results: dict[str, dict]) -> str | None:
    """The number that stands for the case: the one that has a goal, or the first that is there."""
    names = [name for name in SHOWN if name in results["wirespan"]]
    return next((name for name in names if (case, name) in GOALS), names[0] if names else None)


def number(value: float, name: str) -> str:
    if name.endswith("_per_unit"):
        return f"{value:.2f}"
    if name == "wake_ups_per_s":
        return f"{value:.1f}"
    if name == "added_kib":
        return f"{value:.0f} KiB"
    return f"{value / 1e6:.2f} ms" if value >= 100_000 else f"{value:.0f} ns"


def table(cases: dict[str, dict]) -> str:
    """Markdown: what wirespan and the agents cost, and what is to be reached."""
    lines = ["| case | wirespan | spread | goal | OpenTelemetry's agent |", "|---|---|---|---|---|"]
    for case, title in TITLES.items():
        results = cases.get(case, {}).get("results", {})
        name = shown(case, results) if "wirespan" in results else None
        if name is None:
            continue
        ours = results["wirespan"][name]
        goal = GOALS.get((case, name))
        agent = results.get("agent", {}).get(name)
        text = "" if goal is None else f"≤ {number(goal, name)}{'' if ours['median'] <= goal else ', missed'}"
        lines.append(f"| {title} | {number(ours['median'], name)} | {number(ours['least'], name)} to "
                     f"{number(ours['greatest'], name)} | {text} | {number(agent['median'], name) if agent else ''} |")
    return "\n".join(lines) + "\n"
