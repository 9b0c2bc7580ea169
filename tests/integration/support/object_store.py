"""A server that answers like S3, Azure Blob and Google Cloud Storage, as far as their own clients ask."""

import base64
import hashlib
import http.server
import json
import re
import threading
import urllib.parse

REQUEST_IDS = {"s3": ("x-amz-request-id", "AMZ1"), "azure_blob": ("x-ms-request-id", "AZ-1"),
               "gcs": ("X-GUploader-UploadID", "GOOG-1")}
DATE = "Sat, 21 Nov 2026 10:00:00 GMT"
LIST = (
    '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    "<Name>bucket</Name><KeyCount>0</KeyCount><MaxKeys>9</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>"
)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass

    def provider(self):
        if "/storage/v1/b/" in self.path or "X-Goog-Signature" in self.path:
            return "gcs"
        return "azure_blob" if "x-ms-version" in self.headers or "sv=" in self.path else "s3"

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                content += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return content
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status, content=b"", **fields):
        self.send_response(status)
        self.send_header(*REQUEST_IDS[self.provider()])
        self.send_header("ETag", '"0x1"')
        self.send_header("Last-Modified", DATE)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in fields and status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def key(self):
        return urllib.parse.unquote(self.path.partition("?")[0])

    def put(self):
        content = self.body()
        # boto3 frames it by itself, with a checksum behind.
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            size, _, rest = content.partition(b"\r\n")
            content = rest[: int(size.split(b";")[0], 16)]
        self.server.objects[self.key()] = content
        return content

    def do_PUT(self):  # pylint: disable=invalid-name
        content = self.put()
        md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
        self.answer(201 if self.provider() == "azure_blob" else 200, Content_MD5=md5)

    def do_POST(self):  # pylint: disable=invalid-name
        # Google's: two parts, what is known of it and it.
        parts = self.body().split(b"--" + re.search("boundary=\"?([^\";]+)", self.headers["Content-Type"])[1].encode())
        known = json.loads(parts[1].partition(b"\r\n\r\n")[2] or parts[1].partition(b"\n\n")[2])
        content = parts[2].partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        bucket = self.path.split("/b/")[1].split("/")[0]
        self.server.objects[f"/download/storage/v1/b/{bucket}/o/{known['name']}"] = content
        said = {"name": known["name"], "bucket": bucket, "size": str(len(content)), "id": "x", "generation": "1"}
        self.answer(200, json.dumps(said).encode(), Content_Type="application/json")

    def do_GET(self):  # pylint: disable=invalid-name
        if "list-type" in self.path:
            self.answer(200, LIST.encode(), Content_Type="application/xml")
            return
        content = self.server.objects.get(self.key())
        if content is None:
            code = "<Error><Code>NoSuchKey</Code><Message>no</Message></Error>"
            self.answer(404, code.encode(), Content_Type="application/xml", x_ms_error_code="BlobNotFound")
        elif "x-ms-range" in self.headers:
            self.answer(206, content, Content_Range=f"bytes 0-{len(content) - 1}/{len(content)}", x_ms_blob_type="BlockBlob")
        else:
            self.answer(200, content)

    def do_HEAD(self):  # pylint: disable=invalid-name
        content = self.server.objects[self.key()]
        self.answer(200, Content_Length=str(len(content)))

    def do_DELETE(self):  # pylint: disable=invalid-name
        self.answer(202 if self.provider() == "azure_blob" else 204)


class ObjectStore:
    def __enter__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.objects = {"/models/sd.safetensors": b"w" * 300000}
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
