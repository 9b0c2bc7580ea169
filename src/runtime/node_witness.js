(function (begin, announce, rely, take) {
  'use strict';
  const load = globalThis.process?.getBuiltinModule;
  if (typeof load !== 'function') return 'process.getBuiltinModule is missing';
  const { AsyncLocalStorage, executionAsyncResource } = load('async_hooks');
  const { isProxy } = load('util').types;
  const channels = load('diagnostics_channel');
  const storage = new AsyncLocalStorage();
  const owners = new WeakMap();
  const current = () => storage.getStore() ?? 0;
  const describe = Object.getOwnPropertyDescriptor;
  // An exception in a subscriber would be the program's.
  const listen = (name, listener) => channels.subscribe(name, (message) => {
    try { listener(message); } catch { /* not seen */ }
  });

  listen('http.server.request.start', ({ socket }) => {
    storage.enterWith(begin(socket?._handle?.fd ?? -1) || undefined);
  });

  // Before the first byte is written. Older ones tell when all was, which is too late; there the
  // storage at the time of the write has to do.
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 22 || (major === 22 && minor >= 12)) {
    listen('http.client.request.created', ({ request }) => {
      announce(current(), 1, request.method, request.path);
    });
  } else {
    rely();
  }

  listen('undici:request:create', ({ request }) => {
    const number = current();
    if (number !== 0) owners.set(request, number);
  });
  listen('undici:client:sendHeaders', ({ request }) => {
    announce(owners.get(request) ?? 0, 0, request.method, request.path);
  });

  // What flushes a queue does not run for the one that is at its head.
  const flushers = new Set([
    'Immediate', 'WriteWrap', 'ShutdownWrap', 'TCPConnectWrap', 'PipeConnectWrap', 'Zlib',
    'BrotliEncoder', 'BrotliDecoder',
  ]);
  const ask = (doubts) => {
    const number = current();
    return doubts && flushers.has(executionAsyncResource()?.constructor?.name) ? -number : number;
  };

  // A job's text is its queue and its id. What is not a job of BullMQ's has none; nothing that a
  // program may have put there is run.
  const text = (value, name) => {
    const found = describe(value, name)?.value;
    return typeof found === 'string' ? found : undefined;
  };
  // What runs from here on works for the job; without one, for nobody.
  const enter = (value) => {
    if (value === undefined) {
      storage.enterWith(undefined);
      return false;
    }
    if (isProxy(value)) return false;
    const queue = text(value, 'queueQualifiedName');
    const id = text(value, 'id');
    if (queue === undefined || id === undefined || text(value, 'token') === undefined) return false;
    storage.enterWith(take(queue, id) || undefined);
    return true;
  };
  return [ask, enter];
})
