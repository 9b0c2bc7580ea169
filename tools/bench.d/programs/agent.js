"use strict";
// OpenTelemetry's agent for Node as its register module sets it up, but for one option: without it
// it makes no span of a Redis command that no server span surrounds.
const { NodeSDK } = require("@opentelemetry/sdk-node");
const { getNodeAutoInstrumentations } = require("@opentelemetry/auto-instrumentations-node");

const sdk = new NodeSDK({
    instrumentations: [
        getNodeAutoInstrumentations({ "@opentelemetry/instrumentation-ioredis": { requireParentSpan: false } }),
    ],
});
sdk.start();
process.on("beforeExit", () => sdk.shutdown());
