// Reading the scripts, for the Node clients.
'use strict';
const fs = require('fs');

function lines(path) {
    return fs.readFileSync(path, 'utf8').split('\n').filter((line) => line);
}

exports.http = (path) => lines(path).map((line) => {
    const [method, target, size] = line.split(' ');
    return { method, target, body: size === '0' ? undefined : 'x'.repeat(Number(size)) };
});

exports.redis = (path) => lines(path).map((line) => line.split(' ')
    .map((word) => (word[0] === '@' ? 'x'.repeat(Number(word.slice(1))) : word)));

exports.short = (value) => {
    const text = JSON.stringify(value);
    return text && text.length > 200 ? `${text.length} characters` : text;
};

// Options for TLS if there is something to trust in, which NODE_EXTRA_CA_CERTS names, too.
exports.tls = process.env.TEST_CERTIFICATE ? { tls: {} } : {};
