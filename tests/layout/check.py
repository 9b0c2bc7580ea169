#!/usr/bin/env python3
"""Checks of what may stand where: symbols, state, includes, headers, stacks, format, text.

usage: check.py NAME --build FOLDER --source FOLDER

Each check is the function of that name below; its tables are the .txt files beside this script,
each line of which gives a reason. A check prints what is wrong, and fails if that is anything.
"""
import argparse
import collections
import fnmatch
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent

# Name in the tables: static library. The application's side is the first seven.
LIBRARIES = {
    "wire": "src/wire/libwire.a",
    "rules": "src/rules/librules.a",
    "handoff": "src/handoff/libhandoff.a",
    "app_thread": "src/app_thread/libapp_thread.a",
    "hooks": "src/app_thread/hooks/libhooks.a",
    "runtime": "src/runtime/libruntime.a",
    "process": "src/process/libprocess.a",
    "config": "src/process/libconfig.a",
}
# Whose calls a program that defines such a name would otherwise get.
WORKER_LIBRARIES = {
    "worker": "src/worker/libworker.a",
    "transport": "src/worker/transport/libtransport.a",
}
OBJECT = "src/libwirespan.so"
WORKER_OBJECT = "src/libwirespan-worker.so"

NEEDED = {
    # The first two are empty since glibc 2.34; older ones keep dlsym and pthread_create there.
    OBJECT: {"libpthread.so.0", "libdl.so.2", "libc.so.6"},
    WORKER_OBJECT: {"libprotobuf-c.so.1", "libz.so.1", "libjansson.so.4", "libc.so.6"},
}
NEWEST_GLIBC = (2, 17)
# 4 KiB of initial-exec TLS already fail when the object is opened with dlopen.
TLS_BYTES = 1024
# A thread may have 16 KiB in all, and a signal handler may come on top of a hook.
STACK_BYTES = 4096
FRAME_BYTES = 1024

COMPILE = ["-std=c11", "-D_GNU_SOURCE", '-DWIRESPAN_VERSION="layout"', "-ftls-model=initial-exec",
           "-fno-stack-protector", "-U_FORTIFY_SOURCE", "-fPIC", "-w"]


class Context:
    def __init__(self, build: pathlib.Path, source: pathlib.Path):
        self.build = build
        self.source = source
        self.problems: list[str] = []

    def problem(self, text: str) -> None:
        self.problems.append(text)

    def run(self, *command) -> str:
        result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if result.returncode != 0:
            self.problem(f"{' '.join(map(str, command))}: {result.stdout}{result.stderr}".strip())
        return result.stdout


def table(name: str) -> list[tuple[str, str]]:
    """(library, pattern) of each line `library pattern: reason`."""
    rows = []
    for number, line in enumerate((HERE / name).read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"(\S+)\s+(\S+): (\S.*)", line)
        if not match:
            raise SystemExit(f"{name}:{number}: not 'library symbol: reason'")
        rows.append((match[1], match[2]))
    return rows


def symbols(context: Context, library: str) -> list[tuple[str, str, str]]:
    """(name without version, class, section) of each symbol of a static library."""
    found = []
    for line in context.run("nm", "-f", "sysv", context.build / (LIBRARIES | WORKER_LIBRARIES)[library]).splitlines():
        columns = [column.strip() for column in line.split("|")]
        if len(columns) == 7 and columns[0] != "Name":
            found.append((columns[0].split("@")[0], columns[2], columns[6]))
    return found


def defined_in(context: Context, library: str) -> set[str]:
    return {name for name, kind, _ in symbols(context, library) if kind.isupper() and kind != "U"}


def undefined_in(context: Context, library: str) -> set[str]:
    used = {name for name, kind, _ in symbols(context, library) if kind in "Uwv"}
    # A local label, and what the linker makes.
    return used - {n for n, kind, _ in symbols(context, library) if kind not in "Uwv"} - {
        "_GLOBAL_OFFSET_TABLE_"}


def hook_names(context: Context) -> set[str]:
    text = (context.source / "src/app_thread/hooks/hooks.def").read_text()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return set(re.findall(r"^(?:HOOK|STUB|LIBRARY)\(\s*\w+,\s*[^,]*?,\s*(\w+)\s*,", text, flags=re.M))


def undefined_symbols(context: Context) -> None:
    """What each library needs is what the table allows it."""
    allowed = table("undefined.txt")
    used_rows = set()
    own = {library: defined_in(context, library) for library in LIBRARIES}
    for library in LIBRARIES:
        for symbol in sorted(undefined_in(context, library)):
            rows = [row for row in allowed if row[0] == library and
                    (fnmatch.fnmatchcase(symbol, row[1]) or
                     row[1].startswith("@") and symbol in own[row[1][1:]])]
            used_rows.update(rows)
            if not rows:
                context.problem(f"{library} needs {symbol}, which tests/layout/undefined.txt does "
                                "not allow it")
    for row in sorted(set(allowed) - used_rows):
        context.problem(f"undefined.txt: {row[0]} does not need {row[1]} any more")


# Functions of the C library with a lock that fork does not put in order in the child. A program that
# forks while the exporter's thread is inside one has a child that waits for ever at its own call.
LOCKED_OVER_FORK = {
    "gmtime", "gmtime_r", "localtime", "localtime_r", "mktime", "timegm", "strftime", "tzset",
    "strerror", "strerror_r", "strerror_l", "gettext", "dgettext", "dcgettext", "setlocale",
    "random", "srandom", "rand", "srand", "drand48", "lrand48", "syslog", "openlog",
    "getpwnam", "getpwuid", "getpwuid_r", "getgrgid_r", "gethostbyname", "getservbyname",
    "setenv", "putenv", "unsetenv", "atexit", "on_exit", "at_quick_exit", "system", "popen",
}


def fork_locks(context: Context) -> None:
    """The worker side takes no lock that a fork beside it would leave taken in the child."""
    for library in WORKER_LIBRARIES:
        for symbol in sorted(undefined_in(context, library) & LOCKED_OVER_FORK):
            context.problem(f"{library} needs {symbol}, whose lock a fork leaves taken in the child")


def interposed_names(context: Context) -> None:
    """No library calls a name that we interpose: it would observe itself, or call the program's."""
    names = hook_names(context)
    allowed = {(library, symbol) for library, symbol in table("interposed.txt")}
    used = set()
    for library in LIBRARIES | WORKER_LIBRARIES:
        for symbol in sorted(undefined_in(context, library) & names):
            if (library, symbol) in allowed:
                used.add((library, symbol))
            else:
                context.problem(f"{library} calls {symbol}, which is interposed")
    for library, symbol in sorted(allowed - used):
        context.problem(f"interposed.txt: {library} does not call {symbol} any more")


def exports(context: Context) -> None:
    """What libwirespan.so exports is the list of hooks, neither more nor less."""
    names = hook_names(context)
    output = context.run("nm", "-D", "-P", "--defined-only", context.build / OBJECT)
    exported = {line.split()[0].split("@")[0] for line in output.splitlines()}
    for name in sorted(exported - names):
        context.problem(f"{name} is exported and not in hooks.def")
    for name in sorted(names - exported):
        context.problem(f"{name} is in hooks.def and not exported")
    output = context.run("nm", "-D", "-P", "--defined-only", context.build / WORKER_OBJECT)
    exported = {line.split()[0] for line in output.splitlines()}
    if exported != {"wirespan_worker"}:
        context.problem(f"libwirespan-worker.so exports {sorted(exported)}")


def mutable_state(context: Context) -> None:
    """Variables that change are those of the table."""
    allowed = table("state.txt")
    used_rows = set()
    for library in LIBRARIES:
        for symbol, kind, section in symbols(context, library):
            if kind not in "bBdDC" or section.startswith(".data.rel.ro"):
                continue
            symbol = re.sub(r"\.\d+$", "", symbol)
            rows = [row for row in allowed if row[0] == library and
                    fnmatch.fnmatchcase(symbol, row[1])]
            used_rows.update(rows)
            if not rows:
                context.problem(f"{library} has the variable {symbol}, which is not in state.txt")
    for row in sorted(set(allowed) - used_rows):
        context.problem(f"state.txt: {row[0]} has no {row[1]} any more")


def thread_local(context: Context) -> None:
    """Little TLS, and reached without a call."""
    for line in context.run("readelf", "-lW", context.build / OBJECT).splitlines():
        columns = line.split()
        if columns and columns[0] == "TLS" and int(columns[5], 16) >= TLS_BYTES:
            context.problem(f"{int(columns[5], 16)} bytes of TLS")
    if "__tls_get_addr" in context.run("nm", "-D", context.build / OBJECT):
        context.problem("libwirespan.so calls __tls_get_addr: a source lacks the TLS model")


def needed(context: Context) -> None:
    """The libraries that the objects need, and how they are linked."""
    for name, expected in NEEDED.items():
        dynamic = context.run("readelf", "-dW", context.build / name)
        found = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
        if found != expected:
            context.problem(f"{name} needs {sorted(found)}, expected {sorted(expected)}")
        if re.search(r"\((RPATH|RUNPATH|TEXTREL)\)", dynamic):
            context.problem(f"{name} has a run path or text relocations")
    if not re.search(r"SYMBOLIC", context.run("readelf", "-dW", context.build / OBJECT)):
        context.problem("libwirespan.so is not linked with -Bsymbolic")
    if re.search(r"GNU_STACK.*E", context.run("readelf", "-lW", context.build / OBJECT)):
        context.problem("libwirespan.so asks for an executable stack")


def old_glibc(context: Context) -> None:
    """The newest version of glibc that a symbol of libwirespan.so asks for; no checked variants."""
    output = context.run("objdump", "-T", context.build / OBJECT)
    for line in output.splitlines():
        match = re.search(r"\*UND\*.*GLIBC_([0-9.]+)\)?\s+(\S+)", line)
        if match and tuple(map(int, match[1].split("."))) > NEWEST_GLIBC:
            context.problem(f"{match[2]} needs glibc {match[1]}")
        if match and match[2].endswith("_chk"):
            context.problem(f"{match[2]} is imported: musl has none")


def constructors(context: Context) -> None:
    """One constructor and one destructor of ours, beside the compiler's."""
    sections = context.run("readelf", "-SW", context.build / OBJECT)
    for name, most in ((".init_array", 2), (".fini_array", 2)):
        match = re.search(rf"\{name}\s+\S+\s+\S+\s+\S+\s+(\S+)", sections)
        count = int(match[1], 16) // 8 if match else 0
        if count > most:
            context.problem(f"{name} has {count} entries, expected at most {most}")


def include_edges(context: Context) -> None:
    """Which folder's headers each folder's objects read, by what the compiler saw."""
    allowed = collections.defaultdict(set)
    for folder, used in table("includes.txt"):
        allowed[folder].update(used.split(","))
    root = (context.source / "src").resolve()
    folder = None
    what = ""
    for line in context.run("ninja", "-C", context.build, "-t", "deps").splitlines():
        if not line.startswith(" "):
            match = re.match(r"src/([^/]+)/(?:[^/]+/)*[^/]+\.p/(\S+)\.o:", line)
            folder = match[1] if match else None
            what = match[2] if match else ""
        elif folder:
            path = (context.build / line.strip()).resolve()
            if root in path.parents:
                used = path.relative_to(root).parts[0]
                relative = str(path.relative_to(root))
                if used != folder and used not in allowed[folder] and \
                        relative not in allowed[folder]:
                    context.problem(f"src/{folder} ({what}) includes {relative}")


def pure_includes(context: Context) -> None:
    """base and wire include compiler headers and string.h, nothing else of the system."""
    allowed = {"stdbool.h", "stddef.h", "stdint.h", "stdatomic.h", "limits.h", "string.h",
               "arm_neon.h", "emmintrin.h"}
    for folder in ("base", "wire"):
        for path in sorted((context.source / "src" / folder).glob("*.[ch]")):
            for header in re.findall(r"#include <(.*?)>", path.read_text()):
                if header not in allowed:
                    context.problem(f"{path.relative_to(context.source)} includes <{header}>")


def headers_alone(context: Context) -> None:
    """Every header compiles by itself."""
    generated = [f"-I{path}" for path in (context.build / "proto",) if path.exists()]
    for path in sorted((context.source / "src").rglob("*.h")):
        result = subprocess.run(
            ["cc", *COMPILE, f"-I{context.source / 'src'}", *generated, f"-I{context.build / 'src'}",
             "-fsyntax-only", "-x", "c", str(path)], capture_output=True, text=True)
        if result.returncode != 0:
            context.problem(f"{path.relative_to(context.source)}: {result.stderr.strip()}")


def freestanding(context: Context) -> None:
    """base and wire link without any library but ten lines of memory functions."""
    sources = sorted((context.source / "src/wire").glob("*.c"))
    sources += sorted((context.source / "src/base").glob("*.c"))
    with tempfile.TemporaryDirectory() as folder:
        context.run("cc", *COMPILE, "-O2", "-ffreestanding", f"-I{context.source / 'src'}",
                    f"-I{context.build / 'src'}", "-shared", "-nostdlib", "-Wl,-z,defs", "-o", f"{folder}/alone.so",
                    HERE / "mem.c", *sources)


def stack_use(context: Context) -> None:
    """The deepest path through the functions of the application's side, and no recursion."""
    sizes: dict[str, int] = {}
    calls = collections.defaultdict(set)
    names: dict[str, str] = {}
    sources = []
    for folder in ("app_thread", "wire", "handoff"):
        sources += sorted((context.source / "src" / folder).glob("*.c"))
    sources += sorted((context.source / "src/app_thread/hooks").glob("*.c"))
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(sources):
            output = pathlib.Path(folder, f"{number}.o")
            context.run("gcc", *COMPILE, "-O2", "-fcallgraph-info=su", f"-I{context.source / 'src'}",
                        f"-I{context.build / 'src'}", "-c", path, "-o", output)
            graph = output.with_suffix(".ci").read_text()
            for title, label in re.findall(r'node: \{ title: "([^"]+)" label: "([^"]+)"', graph):
                match = re.search(r"\\n(\d+) bytes \((static|dynamic,bounded|dynamic)\)", label)
                if match:
                    key = title if ":" not in title else f"{number}:{title}"
                    sizes[key] = int(match[1])
                    names[key] = label.split("\\n")[0]
                    if match[2] == "dynamic":
                        context.problem(f"{names[key]} has a frame without a bound")
                    if int(match[1]) > FRAME_BYTES:
                        context.problem(f"{names[key]} has a frame of {match[1]} bytes")
            for source, target in re.findall(
                    r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', graph):
                keys = [name if ":" not in name else f"{number}:{name}" for name in (source, target)]
                calls[keys[0]].add(keys[1])
    deepest: dict[str, tuple[int, list[str]]] = {}
    active: list[str] = []

    def walk(key: str) -> tuple[int, list[str]]:
        if key in deepest:
            return deepest[key]
        if key in active:
            cycle = [names.get(k, k) for k in active[active.index(key):]]
            # Whichever function of a cycle is met first, it is the same cycle.
            allowed = {row[1] for row in table("recursion.txt")}
            if ">".join(sorted(cycle)) not in allowed:
                context.problem(f"recursion: {' > '.join(cycle)}")
            return 0, []
        active.append(key)
        below = max((walk(target) for target in calls[key] if target in sizes),
                    default=(0, []), key=lambda found: found[0])
        active.pop()
        deepest[key] = sizes[key] + 8 + below[0], [names[key]] + below[1]
        return deepest[key]

    if not sizes:
        context.problem("no function found")
        return
    size, path = max((walk(key) for key in list(sizes)), key=lambda found: found[0])
    print(f"{size} bytes: {' > '.join(path)}")
    if size > STACK_BYTES:
        context.problem(f"a path takes {size} bytes of stack, at most {STACK_BYTES} are allowed")


def tree_files(context: Context, *patterns: str) -> list[pathlib.Path]:
    found = []
    for path in sorted(context.source.rglob("*")):
        parts = path.relative_to(context.source).parts
        if parts[0].startswith(("build", ".git")) or "node_modules" in parts or \
                "__pycache__" in parts or not path.is_file() or context.build in path.parents:
            continue
        if not patterns or any(path.match(pattern) for pattern in patterns):
            found.append(path)
    return found


def format(context: Context) -> None:
    """clang-format has nothing to change."""
    if not shutil.which("clang-format"):
        context.problem("clang-format is not installed")
        return
    files = tree_files(context, "*.c", "*.h")
    for path in files:
        result = subprocess.run(["clang-format", "--dry-run", "-Werror", str(path)],
                                capture_output=True, text=True, cwd=context.source)
        if result.returncode != 0:
            first = result.stderr.splitlines()[0] if result.stderr else ""
            context.problem(f"{path.relative_to(context.source)}: {first}")


def documents(context: Context) -> None:
    """The tree names no folder of a particular machine and no host of a package registry."""
    patterns = {
        "a path of one machine": re.compile(
            r"(?<![\w.])/(?:work|root|home/\w+|Users/\w+|mnt/\w+)/[\w.]"),
        "a registry's host": re.compile(
            r"\b(?:registry\.(?:npmjs|yarnpkg)\.\w+|(?:files\.)?python(?:hosted)\.org|pypi\.org|"
            r"(?:proxy|sum)\.golang\.org|(?:index\.)?crates\.io|rubygems\.org|deb\.debian\.org|"
            r"repo1?\.maven\.\w+)\b"),
    }
    for path in tree_files(context):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for what, pattern in patterns.items():
            for number, line in enumerate(text.splitlines(), 1):
                match = pattern.search(line)
                if match:
                    context.problem(f"{path.relative_to(context.source)}:{number}: {what}: "
                                    f"{match[0]}")


CHECKS = [undefined_symbols, fork_locks, interposed_names, exports, mutable_state, thread_local, needed,
          old_glibc, constructors, include_edges, pure_includes, headers_alone, freestanding,
          stack_use, format, documents]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=[check.__name__ for check in CHECKS])
    parser.add_argument("--build", type=lambda p: pathlib.Path(p).resolve(), required=True)
    parser.add_argument("--source", type=lambda p: pathlib.Path(p).resolve(), required=True)
    arguments = parser.parse_args()
    context = Context(arguments.build, arguments.source)
    {check.__name__: check for check in CHECKS}[arguments.name](context)
    for problem in dict.fromkeys(context.problems):
        print(problem)
    return 1 if context.problems else 0


if __name__ == "__main__":
    sys.exit(main())
