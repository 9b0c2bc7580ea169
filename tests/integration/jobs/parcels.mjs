// The same couriers, of Node; `take-over` looks at what lies there and takes one after the other.
// usage: deliver|take-over REDIS-PORT COUNT, NODE_FOLDER holds the packages
import { createRequire } from "node:module";

const require = createRequire(`${process.env.NODE_FOLDER}/`);
const Redis = require("ioredis");
const [what, port, count] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const client = new Redis(port, { enableReadyCheck: false, disableClientInfo: true });

async function nextParcel() {
  if (what === "take-over") {
    const lying = await client.xpending("depot:north", "couriers", "-", "+", 1);
    return lying.length === 0
      ? null
      : (await client.xclaim("depot:north", "couriers", "cesar", 0, lying[0][0]))[0];
  }
  const found = await client.xreadgroup(
    "GROUP", "couriers", "dora", "COUNT", 1, "BLOCK", 100, "STREAMS", "depot:north", ">",
  );
  return found === null ? null : found[0][1][0];
}

for (let number = 0; number < count; number++) {
  const [parcel] = await nextParcel();
  await client.hset("depot:north:way", parcel, 50);
  await client.incr("streets");
  if (number % 3 === 2) {
    await client.xadd("depot:north:returned", "*", "parcel", parcel, "reason", "nobody at home");
  }
  await client.xack("depot:north", "couriers", parcel);
}
if ((await nextParcel()) !== null) {
  throw new Error("there is more");
}
client.disconnect();
