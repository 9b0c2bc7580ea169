"""usage: http_python.py LIBRARY URL SCRIPT: makes the script's requests one after another."""

import os
import sys


def with_http_client(url, steps):
    import http.client

    scheme, host = url.split("://")
    connection = http.client.HTTPSConnection(host) if scheme == "https" else http.client.HTTPConnection(host)
    for method, target, body in steps:
        connection.request(method, target, body=body)
        response = connection.getresponse()
        yield response.status, len(response.read())
    connection.close()


def with_requests(url, steps):
    import requests

    with requests.Session() as session:
        session.trust_env = False
        session.verify = os.environ.get("TEST_CERTIFICATE", True)
        for method, target, body in steps:
            response = session.request(method, url + target, data=body)
            yield response.status_code, len(response.content)
        # A generator is sent in chunks.
        response = session.post(url + "/echo?n=generated", data=(b"x" * 500 for _ in range(3)))
        yield response.status_code, len(response.content)


def with_urllib(url, steps):
    import urllib.error
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for method, target, body in steps:
        request = urllib.request.Request(url + target, data=body, method=method)
        try:
            with opener.open(request) as response:
                yield response.status, len(response.read())
        except urllib.error.HTTPError as error:
            yield error.code, len(error.read())


def with_aiohttp(url, steps):
    import asyncio

    import aiohttp

    async def all_of_them():
        async with aiohttp.ClientSession() as session:
            made = []
            for method, target, body in steps:
                async with session.request(method, url + target, data=body) as response:
                    made.append((response.status, len(await response.read())))

            async def one(number):
                async with session.get(f"{url}/slow?n=together-{number}") as response:
                    return response.status, len(await response.read())

            made += await asyncio.gather(*(one(number) for number in range(8)))
            return made

    return asyncio.run(all_of_them())


def with_uvloop(url, steps):
    import uvloop

    uvloop.install()
    return with_aiohttp(url, steps)


def with_httpx(url, steps):
    import httpx

    with httpx.Client(trust_env=False, verify=os.environ.get("TEST_CERTIFICATE", True)) as client:
        for method, target, body in steps:
            response = client.request(method, url + target, content=body)
            yield response.status_code, len(response.content)


def with_httpx_asyncio(url, steps):
    import asyncio

    import httpx

    async def all_of_them():
        verify = os.environ.get("TEST_CERTIFICATE", True)
        async with httpx.AsyncClient(trust_env=False, verify=verify) as client:
            made = []
            for method, target, body in steps:
                response = await client.request(method, url + target, content=body)
                made.append((response.status_code, len(response.content)))

            async def one(number):
                response = await client.get(f"{url}/slow?n=together-{number}")
                return response.status_code, len(response.content)

            made += await asyncio.gather(*(one(number) for number in range(8)))
            return made

    return asyncio.run(all_of_them())


def main():
    library, url, script = sys.argv[1:]
    steps = []
    with open(script, encoding="utf-8") as lines:
        for line in lines:
            method, target, size = line.split()
            steps.append((method, target, b"x" * int(size) if size != "0" else None))
    for number, (status, length) in enumerate(globals()["with_" + library](url, steps)):
        method, target, _ = steps[number] if number < len(steps) else ("more", number, None)
        print(method, target, status, length)


main()
