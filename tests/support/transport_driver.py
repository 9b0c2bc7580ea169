"""send_batch as an object: one transport, one batch at a time."""
import json
import subprocess
import threading

import batches


class Driver:
    """`with Driver(program, "http", url, gzip=True, timeout=500) as driver: driver.send(document)`"""

    def __init__(self, program, kind, target, under=(), **options):
        arguments = [*under, program]
        for name, value in options.items():
            arguments.append("--" + name.replace("_", "-"))
            if value is not True:
                arguments.append(str(value))
        arguments += [kind, str(target)]
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            encoding="utf-8",
        )
        self.errors: list[str] = []
        self.reader = threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            status = self.finish()
            assert status == 0, f"send_batch ended with {status}: {''.join(self.errors)}"
        else:
            self.process.kill()
            self.process.communicate()

    def finish(self) -> int:
        self.process.stdin.close()
        status = self.process.wait(30)
        self.reader.join(30)
        self.process.stdout.close()
        self.process.stderr.close()
        return status

    def start(self, document: dict, cancel_after_ms=None):
        """Sends without waiting for the outcome."""
        prefix = "" if cancel_after_ms is None else f"cancel {cancel_after_ms} "
        self.process.stdin.write(prefix + batches.line(document))
        self.process.stdin.flush()

    def outcome(self) -> dict:
        line = self.process.stdout.readline()
        assert line, f"send_batch ended: {''.join(self.errors)}"
        return json.loads(line)

    def send(self, document: dict, cancel_after_ms=None) -> dict:
        self.start(document, cancel_after_ms)
        return self.outcome()
