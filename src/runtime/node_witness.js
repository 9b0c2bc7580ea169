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
  // with the storage of whoever takes it up. Two things show that.
  //
  // Who gives its own request what that has waited for, and goes on in the same turn, goes on for
  // others: what a worker does after a job. From there on it is nobody's.
  //
  // Whose promise is resolved with one that is still pending has had that one begun for it, by what
  // limits how much is done at a time. All that was made in that turn is its own; but what else
  // waits for the same promise since then, to begin the next one, is nobody's.
  //
  // Looking for them costs a server a twentieth. It matters while more than one request or job is in
  // work, and is done for the first of those; then for a few now and again, and for all as soon as
  // one was seen.
  const most = 256;
  const turns = Array.from({ length: 16 }, () => (
    { runs: undefined, made: [], waiting: [], awaited: [], asked: [], told: [0, 0] }));
  const total = [0, 0]; // announced requests of http's, and commands of node-redis's
  const handed = -1; // the storage of what goes on for others
  let many = false;
  let stop; // watching
  let left = 256; // of those for whom it is looked for
  let last = 0;
  let turn = turns[0]; // that runs, and a few before it, each in its place
  const beginTurn = (runs) => {
    turn = turns[last = (last + 1) % turns.length];
    turn.runs = runs;
    if (turn.made.length > 0) turn.made.length = 0;
    if (turn.waiting.length > 0) turn.waiting.length = turn.awaited.length = 0;
    if (turn.asked.length > 0) turn.asked.length = 0;
    turn.told[0] = total[0];
    turn.told[1] = total[1];
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
    left = Infinity;
    const { made, asked, told } = turns[at];
    const end = at === last ? total : turns[(at + 1) % turns.length].told;
    for (const kind of [0, 1]) {
      give(kind, total[kind] - end[kind], end[kind] - told[kind], Math.max(from, 0), number);
    }
    for (const request of asked) {
      if ((owners.get(request) ?? 0) === Math.max(from, 0)) owners.set(request, number);
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
      tag(other, 0, handed);
      given.delete(other);
    });
    // What of it has run since.
    while (given.size > 0 && at !== last) {
      at = (at + 1) % turns.length;
      if (!given.has(turns[at].runs)) continue;
      giveTurn(at, from, number, tag);
      for (const other of turns[at].made) given.add(other);
    }
  };

  // Up to Node 22 the storage is handed from resource to resource, and each promise is one. One that
  // was not made of another has a quarter more than its number.
  const key = storage.kResourceStore;
  const plain = 0.25;
  const numberOf = (resource) => Math.floor(resource[key] ?? 0);
  const isPlain = (resource) => isPromise(resource) && resource[key] - numberOf(resource) === plain;
  const isPassing = (resource) => isPromise(resource) || resource?.constructor?.name === 'TickObject';
  const tagResource = (resource, from, number) => {
    if (number === handed) resource[key] = handed;
    else if (numberOf(resource) === from) resource[key] = number + (isPlain(resource) ? plain : 0);
  };
  const byResources = {
    init(promise, parent) {
      if (parent === undefined) {
        promise[key] = numberOf(promise) + plain;
        return;
      }
      const resource = executionAsyncResource();
      if (resource !== turn.runs) beginTurn(resource);
      wait(promise, parent);
      // No code of the program's is running: this promise was resolved with the parent.
      if (isPlain(resource) && numberOf(resource) > 0) {
        settleTurn(parent, numberOf(parent), numberOf(resource), tagResource);
      }
    },
    settled(promise) {
      const owner = numberOf(promise);
      const resource = executionAsyncResource();
      if (owner <= 0 || numberOf(resource) !== owner) return;
      if (resource !== turn.runs) beginTurn(resource);
      if (wasMadeBefore(promise) && isPassing(resource)) resource[key] = handed;
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
      beginTurn(promise);
      const number = tagged.get(promise);
      if (number !== undefined) storage.enterWith(number);
    },
    after() { beginTurn(undefined); },
    settled(promise) {
      const number = storage.getStore();
      if (!(number > 0) || number !== (owned.get(promise) ?? only)) return;
      if (wasMadeBefore(promise)) storage.enterWith(handed);
    },
  };
  const isByResources = typeof key === 'symbol';
  if (isByResources) {
    storage._propagate = (resource, trigger, type) => {
      const number = trigger[key] === undefined ? undefined : numberOf(trigger);
      // A program's own hooks change the order in which this and byResources.init come.
      const isPlainOne = type === 'PROMISE' && resource[key] === plain;
      resource[key] = isPlainOne ? (number ?? 0) + plain : number;
      if (!many) return;
      if (trigger !== turn.runs) beginTurn(trigger);
      make(resource);
    };
  }
  // An exception in a hook ends the program; a promise that is frozen refuses what it is given.
  for (const hooks of [byResources, byFrames]) {
    for (const [name, hook] of Object.entries(hooks)) {
      hooks[name] = (promise, parent) => {
        try { hook(promise, parent); } catch { /* not known */ }
      };
    }
  }
  const lookFor = (others) => {
    if (others === many) return;
    many = others;
    if (many) {
      stop = promiseHooks.createHook(isByResources ? byResources : byFrames);
      return;
    }
    stop();
    for (const _ of turns) beginTurn(undefined);
  };
  // Code begins to work for that number.
  let latest = 0;
  let wasAlone = false;
  let begun = 0;
  const work = (number) => {
    storage.enterWith(number || undefined);
    if (number === 0) return;
    if (++begun % 4096 === 0) left += 16;
    const others = left > 0 && overlaps();
    if (others && !many) only = wasAlone ? latest : 0;
    wasAlone = left > 0 && !others;
    if (others) left--;
    latest = number;
    lookFor(others);
  };
  const current = () => {
    const number = Math.floor(storage.getStore() ?? 0);
    if (number === handed) left = Infinity;
    return Math.max(number, 0);
  };

  const declare = (number, kind, name, target) => {
    announce(number, kind, name, target);
    total[kind === 2 ? 1 : 0]++;
  };

  listen('http.server.request.start', ({ socket }) => {
    work(begin(socket?._handle?.fd ?? -1, 0));
  });

  // Before the first byte is written. Older ones tell when all was, which is too late; there the
  // storage at the time of the write has to do.
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 22 || (major === 22 && minor >= 12)) {
    listen('http.client.request.created', ({ request }) => {
      declare(current(), 1, request.method, request.path);
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
    declare(owners.get(request) ?? 0, 0, request.method, request.path);
  });

  // node-redis collects commands and sends them in an immediate. This is asked for in the turn of
  // whoever wants the command; of the arguments it has those that may be shown.
  listen('tracing:node-redis:command:start', ({ args }) => {
    declare(current(), 2, String(args[0]), args.length > 1 ? String(args[1]) : '');
  });

  listen('tracing:node-redis:batch:start', ({ batchMode }) => {
    if (batchMode === 'MULTI') declare(current(), 2, 'MULTI', '');
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
