(function (begin, announce, rely, take, collect, own, overlaps, give) {
  'use strict';
  const load = globalThis.process?.getBuiltinModule;
  if (typeof load !== 'function') return 'process.getBuiltinModule is missing';
  const { AsyncLocalStorage, createHook, executionAsyncResource } = load('async_hooks');
  const { isMap, isPromise, isProxy } = load('util').types;
  const channels = load('diagnostics_channel');
  const storage = new AsyncLocalStorage();
  const owners = new WeakMap();
  const { promiseHooks } = load('v8');
  const describe = Object.getOwnPropertyDescriptor;
  // An exception in a subscriber would be the program's.
  const listen = (name, listener) => channels.subscribe(name, (message) => {
    try { listener(message); } catch { /* not seen */ }
  });

  // ---- what is done for others ----
  // What a program hands over by means of its own (a queue of functions, a list of jobs) is done
  // with the storage of whoever takes it up. Two things show that; they matter, and are looked
  // for, only while more than one request or job is in work.
  //
  // Who gives its own request what that has waited for, and goes on in the same turn, goes on for
  // others: what a worker does after a job. From there on it is nobody's.
  //
  // Whose promise is resolved with one that is still pending has had that one begun for it, by what
  // limits how much is done at a time. All that was made in that turn is its own; but what else
  // waits for the same promise since then, to begin the next one, is nobody's.
  const most = 256;
  const turns = Array.from({ length: 16 }, () => (
    { runs: undefined, made: [], waiting: [], awaited: [], asked: [], told: [0, 0] }));
  const total = [0, 0]; // announced requests of http's, and commands of node-redis's
  let many = false;
  let watches = false;
  let turn = turns[0]; // that runs, and a few before it
  const beginTurn = (runs) => {
    turns.unshift(turn = turns.pop());
    turn.runs = runs;
    turn.made.length = turn.waiting.length = turn.awaited.length = turn.asked.length = 0;
    [turn.told[0], turn.told[1]] = total;
  };
  const make = (resource) => {
    if (turn.made.length < most) turn.made.push(resource);
  };
  const wait = (promise, parent) => {
    if (turn.waiting.length === most) return;
    turn.waiting.push(promise);
    turn.awaited.push(parent);
  };
  const wasMadeBefore = (promise) => turn.made.length < most && !turn.made.includes(promise);
  const giveTurn = (at, from, number, tag) => {
    const { made, asked, told } = turns[at];
    const end = at === 0 ? total : turns[at - 1].told;
    for (const kind of [0, 1]) {
      give(kind, total[kind] - end[kind], end[kind] - told[kind], from, number);
    }
    for (const request of asked) {
      if ((owners.get(request) ?? 0) === from) owners.set(request, number);
    }
    for (const other of made) tag(other, from, number);
  };
  // A promise of the number's waits for that one, which was made for `from`.
  const settleTurn = (promise, from, number, tag) => {
    let at = turns.findIndex(({ made }) => made.includes(promise));
    if (at < 0) return;
    const { made, waiting, awaited } = turns[at];
    const given = new Set(from === number ? [] : made);
    if (given.size > 0) giveTurn(at, from, number, tag);
    waiting.forEach((other, i) => {
      if (awaited[i] !== promise) return;
      tag(other, 0, 0);
      given.delete(other);
    });
    // What of it has run since.
    while (given.size > 0 && --at >= 0) {
      if (!given.has(turns[at].runs)) continue;
      giveTurn(at, from, number, tag);
      for (const other of turns[at].made) given.add(other);
    }
  };

  // Up to Node 22 the storage is handed from resource to resource, and each promise is one. One that
  // was made of another has its number as a negative one, or this where it has none.
  const key = storage.kResourceStore;
  const derivedOnly = -0.5;
  const numberOf = (store) => (store < 0 ? (store === derivedOnly ? undefined : -store) : store);
  const derive = (number) => (number > 0 ? -number : derivedOnly);
  const isPassing = (resource) => isPromise(resource) || resource?.constructor?.name === 'TickObject';
  const tagResource = (resource, from, number) => {
    const store = resource[key];
    if (number === 0) resource[key] = derivedOnly;
    else if ((numberOf(store) ?? 0) === from) resource[key] = store < 0 ? -number : number;
  };
  const byResources = {
    init(promise, parent) {
      if (parent === undefined) return;
      promise[key] = derive(promise[key]);
      if (!many) return;
      const resource = executionAsyncResource();
      if (resource !== turn.runs) beginTurn(resource);
      wait(promise, parent);
      // No code of the program's is running: this promise was resolved with the parent.
      if (!(resource[key] > 0) || !isPromise(resource)) return;
      settleTurn(parent, numberOf(parent[key]) ?? 0, resource[key], tagResource);
    },
    settled(promise) {
      if (!many) return;
      const owner = numberOf(promise[key]);
      const resource = executionAsyncResource();
      if (owner === undefined || numberOf(resource[key]) !== owner) return;
      if (resource !== turn.runs) beginTurn(resource);
      if (wasMadeBefore(promise) && isPassing(resource)) resource[key] = undefined;
    },
  };
  // Later the storage is V8's, which keeps it with whatever waits for a promise, and it is changed
  // when that runs. What was made before it mattered was made for the only one that was in work.
  const owned = new WeakMap();
  const tagged = new WeakMap();
  let only = 0;
  const tagFrame = (promise, from, number) => tagged.set(promise, number);
  const byFrames = {
    init(promise, parent) {
      if (!many) return;
      make(promise);
      if (parent === undefined) {
        owned.set(promise, storage.getStore() ?? 0);
        return;
      }
      wait(promise, parent);
      const number = turn.runs && owned.get(turn.runs);
      if (number > 0 && owned.has(parent)) settleTurn(parent, owned.get(parent), number, tagFrame);
    },
    before(promise) {
      if (!many) return;
      beginTurn(promise);
      const number = tagged.get(promise);
      if (number !== undefined) storage.enterWith(number || undefined);
    },
    after() { if (many) beginTurn(undefined); },
    settled(promise) {
      if (!many) return;
      const number = storage.getStore();
      if (number === undefined || number !== (owned.get(promise) ?? only)) return;
      if (wasMadeBefore(promise)) storage.enterWith(undefined);
    },
  };
  const isByResources = typeof key === 'symbol';
  if (isByResources) {
    storage._propagate = (resource, trigger) => {
      const number = numberOf(trigger[key]);
      // A program's own hooks change the order in which this and byResources.init come.
      resource[key] = resource[key] < 0 ? derive(number) : number;
      if (!many) return;
      if (trigger !== turn.runs) beginTurn(trigger);
      make(resource);
    };
  }
  const current = () => numberOf(storage.getStore()) ?? 0;
  const work = (number) => {
    const isDerived = isByResources && storage.getStore() < 0;
    storage.enterWith(isDerived ? derive(number) : number || undefined);
  };
  if (isByResources) promiseHooks.createHook(byResources);
  let latest = 0;
  const overlap = (number) => {
    const others = overlaps();
    if (others && !many) only = latest;
    latest = number;
    many = others;
    if (!many) {
      for (let left = turns.length; left > 0; left--) beginTurn(undefined);
    } else if (!watches && !isByResources) {
      watches = true;
      promiseHooks.createHook(byFrames);
    }
  };

  listen('http.server.request.start', ({ socket }) => {
    const number = begin(socket?._handle?.fd ?? -1, 0);
    work(number);
    overlap(number);
  });

  // Before the first byte is written. Older ones tell when all was, which is too late; there the
  // storage at the time of the write has to do.
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 22 || (major === 22 && minor >= 12)) {
    listen('http.client.request.created', ({ request }) => {
      announce(current(), 1, request.method, request.path);
      total[0]++;
    });
  } else {
    rely();
  }

  listen('undici:request:create', ({ request }) => {
    const number = current();
    if (number !== 0) owners.set(request, number);
    if (many) turn.asked.push(request);
  });
  listen('undici:client:sendHeaders', ({ request }) => {
    announce(owners.get(request) ?? 0, 0, request.method, request.path);
    total[0]++;
  });

  // node-redis collects commands and sends them in an immediate. This is asked for in the turn of
  // whoever wants the command; of the arguments it has those that may be shown.
  listen('tracing:node-redis:command:start', ({ args }) => {
    announce(current(), 2, String(args[0]), args.length > 1 ? String(args[1]) : '');
    total[1]++;
  });

  listen('tracing:node-redis:batch:start', ({ batchMode }) => {
    if (batchMode === 'MULTI') announce(current(), 2, 'MULTI', ''), total[1]++;
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
      work(0);
      return false;
    }
    if (isProxy(value)) return false;
    const queue = text(value, 'queueQualifiedName');
    const id = text(value, 'id');
    if (queue === undefined || id === undefined || text(value, 'token') === undefined) return false;
    const number = take(queue, id);
    work(number);
    overlap(number);
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
        if (number !== 0) work(number);
      } catch { /* not known */ }
    },
  });
  const arrive = (on) => {
    descriptor = on;
    arrival.enable();
  };
  return [ask, enter, arrive];
})
