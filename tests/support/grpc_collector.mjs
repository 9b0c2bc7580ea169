/*
 * A fake OTLP/gRPC receiver on a free port of 127.0.0.1, on Node's own HTTP/2.
 *
 *     node grpc_collector.mjs [--tls CERT KEY] [BEHAVIOUR ...]
 *
 * Prints its port, then one line of JSON for every call, written before the answer: path, headers,
 * connection number, body (base64, as it came: frame and all). Ends with standard input.
 *
 * Each call takes the next BEHAVIOUR; the last one stays. Default: ok.
 *     ok                      an empty answer, grpc-status 0 in the trailers
 *     partial:N:TEXT          N spans rejected
 *     status:N:TEXT           trailers-only answer with that grpc-status; TEXT is sent as it is
 *     trailers:N:TEXT         the same, but in trailers behind an empty body
 *     details:N:BASE64        status N with grpc-status-details-bin
 *     http:CODE               that HTTP status and no grpc-status
 *     nostatus                200, a body, and no grpc-status at all
 *     garbage                 status 0 behind a body that is no frame
 *     compressed              status 0 behind a frame that claims to be compressed, and is not
 *     gzip:N:TEXT             N spans rejected, said in gzip
 *     split                   the answer's frame in single bytes
 *     big:BYTES               a body of so many bytes
 *     slow:MS                 ok, so late
 *     silent                  no answer
 *     reset                   RST_STREAM
 *     close                   the connection goes down without an answer
 *     goaway                  ok, then GOAWAY
 */
import fs from "node:fs";
import http2 from "node:http2";
import zlib from "node:zlib";

const words = process.argv.slice(2);
let tls = null;
if (words[0] === "--tls") {
    tls = { cert: fs.readFileSync(words[1]), key: fs.readFileSync(words[2]) };
    words.splice(0, 3);
}
const behaviours = words.length > 0 ? words : ["ok"];

function varint(value) {
    const bytes = [];
    while (value > 0x7f) {
        bytes.push((value & 0x7f) | 0x80);
        value >>>= 7;
    }
    bytes.push(value);
    return Buffer.from(bytes);
}

function field(number, content) {
    return Buffer.concat([Buffer.from([(number << 3) | 2]), varint(content.length), content]);
}

function frame(message, flag = 0) {
    const head = Buffer.alloc(5);
    head[0] = flag;
    head.writeUInt32BE(message.length, 1);
    return Buffer.concat([head, message]);
}

function partial(rejected, text) {
    const inner = rejected > 0 ? Buffer.concat([Buffer.from([8]), varint(rejected)]) : Buffer.alloc(0);
    return field(1, Buffer.concat([inner, field(2, Buffer.from(text))]));
}

function answer(stream, body, trailers) {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers(trailers));
    for (const piece of Array.isArray(body) ? body : [body]) {
        stream.write(piece);
    }
    stream.end();
}

const ok = { "grpc-status": "0" };

function behave(stream, behaviour) {
    const [kind, first = "", ...rest] = behaviour.split(":");
    const text = rest.join(":");
    const head = { ":status": 200, "content-type": "application/grpc" };
    switch (kind) {
    case "ok":
        return answer(stream, frame(Buffer.alloc(0)), ok);
    case "partial":
        return answer(stream, frame(partial(Number(first), text)), ok);
    case "status":
        return stream.respond({ ...head, "grpc-status": first, "grpc-message": text }, { endStream: true });
    case "trailers":
        return answer(stream, Buffer.alloc(0), { "grpc-status": first, "grpc-message": text });
    case "details":
        return stream.respond({ ...head, "grpc-status": first, "grpc-status-details-bin": text },
                              { endStream: true });
    case "http":
        return stream.respond({ ":status": Number(first) }, { endStream: true });
    case "nostatus":
        stream.respond(head);
        return stream.end(frame(Buffer.alloc(0)));
    case "garbage":
        return answer(stream, Buffer.from("no frame at all"), ok);
    case "compressed":
        return answer(stream, frame(Buffer.from("xx"), 1), ok);
    case "gzip":
        return answer(stream, frame(zlib.gzipSync(partial(Number(first), text)), 1), ok);
    case "split":
        return answer(stream, [...frame(partial(1, "in bytes"))].map((byte) => Buffer.from([byte])), ok);
    case "big":
        return answer(stream, Buffer.alloc(Number(first)), ok);
    case "slow":
        return setTimeout(() => behave(stream, "ok"), Number(first));
    case "silent":
        return undefined;
    case "reset":
        return stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    case "close":
        return stream.session.destroy();
    case "goaway":
        stream.on("close", ((session) => () => session.goaway())(stream.session));
        return behave(stream, "ok");
    default:
        throw new Error(`behaviour ${behaviour}`);
    }
}

let connections = 0;
const server = tls ? http2.createSecureServer({ ...tls, allowHTTP1: false }) : http2.createServer();
server.on("session", (session) => {
    session.number = ++connections;
    session.on("error", () => {});
});
server.on("stream", (stream, headers) => {
    const pieces = [];
    stream.on("error", () => {});
    stream.on("data", (piece) => pieces.push(piece));
    stream.on("end", () => {
        const behaviour = behaviours.length > 1 ? behaviours.shift() : behaviours[0];
        const call = {
            path: headers[":path"],
            headers: Object.fromEntries(Object.entries(headers)),
            connection: stream.session.number,
            behaviour,
            body: Buffer.concat(pieces).toString("base64"),
        };
        process.stdout.write(JSON.stringify(call) + "\n", () => behave(stream, behaviour));
    });
});
server.listen(0, "127.0.0.1", () => process.stdout.write(`${server.address().port}\n`));
process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
