"""TLS before a server that speaks plain text: what the servers of these tests say over TLS.

A relay in one thread with an event loop; bytes pass untouched. The server behind it stays the truth.
"""

import asyncio
import ssl
import threading


class TlsFront:
    """Listens on 127.0.0.1:`port` with a certificate and relays to 127.0.0.1:`upstream`."""

    def __init__(self, certificate: str, key: str, upstream: int, *, newest: bool = True):
        self.upstream = upstream
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        if not newest:
            self.context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.port = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self) -> "TlsFront":
        self.thread.start()
        self.server = asyncio.run_coroutine_threadsafe(self._listen(), self.loop).result(20)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *ignored) -> None:
        self.loop.call_soon_threadsafe(self.server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)

    async def _listen(self):
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context, backlog=1024, ssl_shutdown_timeout=2)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            writer.close()
            return

        async def relay(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            try:
                while data := await source.read(65536):
                    target.write(data)
                    await target.drain()
            except OSError:
                pass
            target.close()

        # Either end ends both: TLS has no half-closed connections here.
        await asyncio.gather(relay(reader, behind_writer), relay(behind_reader, writer))
