#!/usr/bin/env python3
"""What the documents say, against the sources: variables, options, folders, links.

usage: test_documents.py SOURCE_ROOT WIRESPAN [unittest arguments]
"""
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(sys.argv.pop(1))
WIRESPAN = sys.argv.pop(1)

DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "src/README.md"]
# Unlike the others these are no wishes of the user's, or are asked for to say that they do nothing.
VARIABLE = r"(?:OTEL|WIRESPAN|MACHINE|WORKER|NODE|RAILWAY|FLUENT|FLUENTD|SENTRY|METRICS|CONNECTOR)_[A-Z_]*[A-Z]"


def text(path: str) -> str:
    return (ROOT / path).read_text()


def manual() -> str:
    return text("docs/wirespan.1").replace("\\-", "-")


def configured_variables() -> tuple[set, set]:
    """The names that config.c asks for: those that do something, and those that only get a notice."""
    source = text("src/process/config.c")
    notice = source[source.index("static void complain_of_unavailable") :]
    notice = notice[: notice.index("for (size_t i = 0")]
    unavailable = set(re.findall(f'"({VARIABLE})"', notice)) | {"OTEL_EXPORTER_GCP_TRACE"}
    names = set(re.findall(f'"({VARIABLE})"', source))
    for suffix in re.findall(r'OTLP\("([A-Z_]+)"\)', source):
        names |= {f"OTEL_EXPORTER_OTLP_{suffix}", f"OTEL_EXPORTER_OTLP_TRACES_{suffix}"}
    return names - unavailable, unavailable


def options(arguments: list) -> set:
    listing = subprocess.run([WIRESPAN, *arguments, "--help"], capture_output=True, text=True, check=True)
    return set(re.findall(r"(?m)^ +(?:-.,)? +(--[a-z-]+)", listing.stdout))


class Variables(unittest.TestCase):
    def test_readme_has_each(self):
        used, unavailable = configured_variables()
        self.assertGreater(len(used), 40)
        readme = text("README.md")
        table = set(re.findall(f"`({VARIABLE})`", readme[readme.index("| variable |") : readme.index("Known, and")]))
        self.assertEqual(table, used)
        known = readme[readme.index("Known, and") : readme.index("## What is seen")]
        self.assertEqual(set(re.findall(f"`({VARIABLE})`", known)), unavailable)

    def test_manual_has_each(self):
        used, _ = configured_variables()
        page = manual()
        environment = page[page.index(".SH ENVIRONMENT") : page.index(".SS Of wirespan view")]
        self.assertEqual(set(re.findall(VARIABLE, environment)), used)

    def test_defaults(self):
        source, readme, page = text("src/process/config.c"), text("README.md"), manual()
        for constant, variable in (
            ("DEFAULT_SCHEDULE_DELAY_MS", "OTEL_BSP_SCHEDULE_DELAY"),
            ("DEFAULT_EXPORT_TIMEOUT_MS", "OTEL_BSP_EXPORT_TIMEOUT"),
            ("DEFAULT_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_QUEUE_SIZE"),
            ("DEFAULT_MAX_BATCH_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
            ("DEFAULT_OTLP_TIMEOUT_MS", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"),
            ("DEFAULT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT"),
        ):
            value = re.search(rf"#define {constant} +(\d+)u", source)[1]
            self.assertRegex(readme, rf"`{variable}` \| {value} ")
            self.assertRegex(page, rf'{variable} " \({value}\)')


class Command(unittest.TestCase):
    def test_manual_has_each_option(self):
        page = manual()
        described = set(re.findall(r"(--[a-z-]+)", page[page.index(".SH OPTIONS") : page.index(".SH EXIT STATUS")]))
        commands = re.findall(r'\{"([a-z]+)", \w+_main', text("src/command/main.c"))
        self.assertIn("run", commands)
        self.assertEqual(described, set().union(*(options([command]) for command in commands)))

    def test_commands_of_the_readme_exist(self):
        shown = set(re.findall(r"(?m)^ +wirespan ([a-z]+)", text("README.md")))
        listing = subprocess.run([WIRESPAN, "--help"], capture_output=True, text=True, check=True).stdout
        known = set(re.findall(r"(?m)^  ([a-z]+) {2,}", listing))
        self.assertTrue(shown)
        self.assertLessEqual(shown, known)
        for option in re.findall(r"(?m)^ +wirespan view .*?(--[a-z-]+)", text("README.md")):
            self.assertIn(option, options(["view"]))

    def test_version(self):
        version = re.search(r"version: '([\d.]+)'", text("meson.build"))[1]
        self.assertIn(f"wirespan {version}", text("docs/wirespan.1").splitlines()[0])
        self.assertIn(f"## {version}", text("CHANGELOG.md"))


class Folders(unittest.TestCase):
    def rows(self) -> dict:
        table = text("src/README.md").split("\n\n")[2]
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
        return {row[0]: row for row in cells}

    def test_each_folder_has_its_row(self):
        folders = {path.name for path in (ROOT / "src").iterdir() if path.is_dir()}
        self.assertEqual(set(self.rows()), folders)

    def test_rows_say_what_the_layout_test_allows(self):
        for line in text("tests/layout/includes.txt").splitlines():
            if not line or line.startswith("#"):
                continue
            folder, allowed = line.partition(":")[0].split()
            may = self.rows()[folder][2]
            for other in allowed.split(","):
                self.assertTrue(may.startswith("all of the above") or other in re.split(r"[, ]+", may), f"{folder}: {other}")


class Links(unittest.TestCase):
    def test_paths_exist(self):
        for document in DOCUMENTS:
            content = text(document)
            # Paths in backquotes or plain, with a folder of ours first.
            for path in set(re.findall(r"(?<![\w/.-])(?:docs|tools|tests|\.ci)/[\w./-]*\w", content)):
                self.assertTrue((ROOT / path).exists(), f"{document}: {path}")

    def test_lines_are_not_long(self):
        for document in DOCUMENTS:
            for number, content in enumerate(text(document).splitlines(), 1):
                if not content.startswith("|"):
                    self.assertLessEqual(len(content), 120, f"{document}:{number}")


if __name__ == "__main__":
    unittest.main()
