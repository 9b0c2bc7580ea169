(function (begin, announce, rely, take, collect, own) {
  'use strict';
  const load = globalThis.process?.getBuiltinModule;
  if (typeof load !== 'function') return 'process.getBuiltinModule is missing';
  const { AsyncLocalStorage, createHook, executionAsyncResource } = load('async_hooks');
  const { isMap, isProxy } = load('util').types;
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
    storage.enterWith(begin(socket?._handle?.fd ?? -1, 0) || undefined);
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

  // node-redis collects commands and sends them in an immediate. This is asked for in the turn of
  // whoever wants the command; of the arguments it has those that may be shown.
  listen('tracing:node-redis:command:start', ({ args }) => {
    announce(current(), 2, String(args[0]), args.length > 1 ? String(args[1]) : '');
  });

  listen('tracing:node-redis:batch:start', ({ batchMode }) => {
    if (batchMode === 'MULTI') announce(current(), 2, 'MULTI', '');
  });

  // ioredis collects commands in a pipeline that stands in a map: it asks the map before it adds
  // one, and takes the pipeline out to send it. The map has these two methods of ours, which do
  // what they did, and note who asked.
  const { get, delete: remove } = Map.prototype;
  const [getOf, removeOf] = [get, remove].map((method) => Function.prototype.call.bind(method));
  const collected = new WeakMap();
  const value = (object, name) => describe(object, name)?.value;
  const size = (pipeline) => {
    const queue = isProxy(pipeline) ? undefined : value(pipeline, '_queue');
    return Array.isArray(queue) && !isProxy(queue) ? queue.length : -1;
  };
  const note = (pipeline) => {
    const at = size(pipeline);
    if (at < 0) return;
    let numbers = collected.get(pipeline);
    if (numbers === undefined) collected.set(pipeline, numbers = []);
    numbers[at] = current();
  };
  const send = (pipeline) => {
    const numbers = collected.get(pipeline);
    collect(numbers ?? [], numbers === undefined ? 0 : Math.max(0, size(pipeline)));
  };
  const attempt = (step, argument) => {
    try { if (argument !== undefined) step(argument); } catch { /* not known */ }
  };
  const watch = (map) => {
    const own = (method) => ({ value: method, configurable: true, enumerable: false, writable: true });
    Object.defineProperties(map, {
      get: own({ get(key) {
        const found = getOf(this, key);
        attempt(note, found);
        return found;
      } }.get),
      delete: own({ delete(key) {
        attempt(send, getOf(this, key));
        return removeOf(this, key);
      } }.delete),
    });
  };
  // The first time that a client sends what it has collected, which is in the immediate of whoever
  // asked for the first command.
  const beginCollecting = (immediate) => {
    const client = value(value(immediate, '_argv'), 0);
    const map = isProxy(client) ? undefined : value(client, '_autoPipelines');
    if (!isMap(map) || isProxy(map) || describe(map, 'get') !== undefined) return;
    if (Object.getPrototypeOf(map) !== Map.prototype || !Object.isExtensible(map)) return;
    watch(map);
    collect([current()], 1);
  };

  // What flushes a queue does not run for the one that is at its head.
  const flushers = new Set([
    'Immediate', 'WriteWrap', 'ShutdownWrap', 'TCPConnectWrap', 'PipeConnectWrap', 'Zlib',
    'BrotliEncoder', 'BrotliDecoder',
  ]);
  const ask = (doubts) => {
    const number = current();
    if (!doubts) return number;
    const resource = executionAsyncResource();
    const name = resource?.constructor?.name;
    if (name === 'Immediate' && resource._onImmediate?.name === 'executeAutoPipeline') {
      attempt(beginCollecting, resource);
    }
    return flushers.has(name) ? -number : number;
  };

  // A job's text is its queue and its id. What is not a job of BullMQ's has none; nothing that a
  // program may have put there is run.
  const text = (value, name) => {
    const found = describe(value, name)?.value;
    return typeof found === 'string' ? found : undefined;
  };
  // The class of the worker that a job was claimed by gets another method, which says whose work
  // begins and does what the one it had does. Nothing else of it changes.
  const { defineProperty, getPrototypeOf } = Object;
  const adopted = new WeakSet();
  const adopt = (worker) => {
    let method;
    let holder = worker;
    for (; ; holder = getPrototypeOf(holder)) {
      if (typeof holder !== 'object' || holder === null || isProxy(holder)) return;
      if ((method = describe(holder, 'processJob')) !== undefined) break;
    }
    const { value: process, writable, configurable } = method;
    if (typeof process !== 'function' || !writable || !configurable || adopted.has(process)) return;
    const other = own(process);
    if (other === undefined) return;
    adopted.add(other);
    defineProperty(other, 'length', { value: process.length, configurable: true });
    defineProperty(holder, 'processJob', { ...method, value: other });
  };
  // What runs from here on works for the job; without one, for nobody.
  const enter = (value, isNew) => {
    if (value === undefined) {
      storage.enterWith(undefined);
      return false;
    }
    if (isProxy(value)) return false;
    const queue = text(value, 'queueQualifiedName');
    const id = text(value, 'id');
    if (queue === undefined || id === undefined || text(value, 'token') === undefined) return false;
    const number = take(queue, id);
    storage.enterWith(number || undefined);
    if (isNew && number !== 0) attempt(adopt, describe(value, 'queue')?.value);
    return true;
  };

  // A message was read that names whose work it is. What runs next is the callback of that
  // descriptor's stream; it works for the message, and so does what it calls. There may be nothing
  // to be called: then it is for the next message to say.
  let descriptor = -1;
  const arrival = createHook({
    before() {
      try {
        arrival.disable();
        const resource = executionAsyncResource();
        if (isProxy(resource) || resource?.fd !== descriptor) return;
        const number = begin(descriptor, current());
        if (number !== 0) storage.enterWith(number);
      } catch { /* not known */ }
    },
  });
  const arrive = (on) => {
    descriptor = on;
    arrival.enable();
  };
  return [ask, enter, arrive];
})
