"""usage: redis_python.py LIBRARY HOST PORT SCRIPT: runs the script's commands, then some of its own."""

import asyncio
import os
import sys

import redis
import redis.asyncio


# Over TLS if there is something to trust in.
TLS = {"ssl": True, "ssl_ca_certs": os.environ["TEST_CERTIFICATE"]} if "TEST_CERTIFICATE" in os.environ else {}


def read_script(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            yield ["x" * int(word[1:]) if word.startswith("@") else word for word in line.rstrip("\n").split(" ")]


def short(value):
    text = repr(value)
    return text if len(text) < 200 else f"{len(text)} characters"


def run_sync(host, port, steps, **options):
    client = redis.Redis(host=host, port=port, **TLS, **options)
    for step in steps:
        try:
            print(step[0], short(client.execute_command(*step)))
        except redis.RedisError as error:
            print(step[0], "error", type(error).__name__)
    pipeline = client.pipeline(transaction=False)
    for number in range(10):
        pipeline.set(f"p:{number}", number)
    print("pipeline", pipeline.execute())
    transaction = client.pipeline(transaction=True)
    transaction.set("t", 1)
    transaction.incr("t")
    transaction.lpush("t", "wrong")
    print("transaction", [short(reply) for reply in transaction.execute(raise_on_error=False)])
    subscriber = client.pubsub(ignore_subscribe_messages=False)
    subscriber.subscribe("news")
    print("subscribed", subscriber.get_message(timeout=10)["type"])
    for number in range(3):
        client.publish("news", f"item {number}")
    for number in range(3):
        print("message", subscriber.get_message(timeout=10)["data"])
    subscriber.unsubscribe("news")
    print("unsubscribed", subscriber.get_message(timeout=10)["type"])
    subscriber.close()
    client.close()


async def run_async(host, port, steps):
    client = redis.asyncio.Redis(host=host, port=port, **TLS)
    for step in steps:
        try:
            print(step[0], short(await client.execute_command(*step)))
        except redis.RedisError as error:
            print(step[0], "error", type(error).__name__)
    async with client.pipeline(transaction=True) as transaction:
        transaction.set("t", 1).incr("t")
        print("transaction", await transaction.execute())
    together = [client.set(f"k:{number}", number) for number in range(10)]
    print("together", await asyncio.gather(*together))
    subscriber = client.pubsub()
    await subscriber.subscribe("news")
    print("subscribed", (await subscriber.get_message(timeout=10))["type"])
    await client.publish("news", "item")
    print("message", (await subscriber.get_message(timeout=10))["data"])
    await subscriber.unsubscribe("news")
    print("unsubscribed", (await subscriber.get_message(timeout=10))["type"])
    await subscriber.aclose()
    await client.aclose()


def main():
    library, host, port, script = sys.argv[1:]
    steps = list(read_script(script))
    if library == "asyncio":
        asyncio.run(run_async(host, int(port), steps))
    elif library == "resp2":
        run_sync(host, int(port), steps, protocol=2)
    else:
        run_sync(host, int(port), steps, protocol=3)


main()
