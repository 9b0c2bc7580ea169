"""usage: relay_python.py threads|asyncio URL: a server that makes a request of its own for every request.

Says "port N"; for /x?n=NUMBER it asks URL/slow?n=NUMBER and answers with what it got. Ends with stdin.
"""

import sys
import threading


def with_threads(url):
    import http.client
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            connection = http.client.HTTPConnection(url.split("//")[1])
            connection.request("GET", "/slow?" + self.path.split("?")[1])
            body = connection.getresponse().read()
            connection.close()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print("port", server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    server.shutdown()


def with_asyncio(url):
    import asyncio

    import aiohttp
    import aiohttp.web

    async def serve():
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=3)) as client:

            async def handle(request):
                async with client.get(f"{url}/slow?{request.query_string}") as response:
                    return aiohttp.web.Response(body=await response.read())

            application = aiohttp.web.Application()
            application.router.add_get("/x", handle)
            runner = aiohttp.web.AppRunner(application)
            await runner.setup()
            site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            print("port", runner.addresses[0][1], flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
            await runner.cleanup()

    asyncio.run(serve())


globals()["with_" + sys.argv[1]](sys.argv[2])
