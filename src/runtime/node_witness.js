(function (begin, announce, rely, take, collect, own, overlaps, give, look, isOpen) {
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
    {
      runs: undefined, made: [], waiting: [], awaited: [], asked: [], told: [0, 0],
      callback: undefined, waits: undefined, owner: 0, gave: 0, woken: [],
    }));
  const total = [0, 0]; // announced requests of http's, and commands of node-redis's
  const [MAKER, TICK, BEGUN] = [0, 1, 2]; // what is looked for on the stack
  const handed = -1; // the storage of what goes on for others
  let many = false;
  let stop; // watching
  let left = 2048; // of those for whom it is looked for
  let last = 0;
  let turn = turns[0]; // that runs, and a few before it, each in its place
  const beginTurn = (runs) => {
    park();
    turn = turns[last = (last + 1) % turns.length];
    turn.runs = runs;
    turn.callback = undefined;
    turn.gave = 0;
    if (turn.made.length > 0) turn.made.length = 0;
    if (turn.waiting.length > 0) turn.waiting.length = turn.awaited.length = 0;
    if (turn.asked.length > 0) turn.asked.length = 0;
    turn.told[0] = total[0];
    turn.told[1] = total[1];
  };

  // ---- what is done for several ----
  // A list that all write into, and which a timer of the first one's works off, is nowhere to be
  // seen. But those who wait for it can be: they have made a promise, and then nothing that would
  // keep it; or they have done nothing at all. While there are such requests, what runs by another
  // one's timer, immediate or tick may be for them, and goes on for nobody that is known.
  //
  // Who wakes what another request waits for, and has just begun to wait itself, has given that
  // something to do: a worker that the other one began. And an asynchronous function that ends when
  // it has given its own request what that waits for has done that: what waits for it begins the next.
  const parked = new Map(); // promises by whose they are
  const idle = new Set(); // requests
  const strays = new Set(); // requests of which more was woken than can be told
  const reactions = new WeakMap(); // what waits for a promise that no other was made of
  const functions = new WeakSet(); // promises of the program's asynchronous functions
  const endFunction = (promise, owner, tag) => {
    if (functions.has(promise) || !reactions.has(promise)) wake(promise, owner, tag);
  };
  const wake = (promise, owner, tag) => {
    const waiting = reactions.get(promise);
    if (waiting === undefined) strays.add(owner);
    else for (const other of waiting) tag(other, 0, handed);
  };
  const wakeAll = () => {
    for (const woken of turn.woken) wake(...woken);
    turn.woken.length = 0;
  };
  const park = () => {
    const { waits, owner } = turn;
    if (waits === undefined) return;
    turn.waits = undefined;
    wakeAll();
    if (owner > 0 && parked.size < most) parked.set(waits, owner);
  };
  // Something was begun that ends by itself.
  const operate = (number) => {
    if (turn.woken.length > 0) wakeAll();
    turn.waits = undefined;
    idle.delete(number);
  };
  // An asynchronous function's own promise and one that is made with an executor look alike, but for
  // the stack, in which V8's own functions are shown to an Error alone.
  const makers = new Map(); // by place: it makes promises with an executor
  const ownScripts = /^node:internal\/(promise|async)_hooks$/;
  const isExecutors = (sites) => {
    for (const site of sites) {
      const file = site.getFileName();
      if (typeof file === 'string' && file !== '' && !ownScripts.test(file)) return false;
      const name = site.getFunctionName();
      if (name === 'Promise' || name === 'withResolvers') return true;
    }
    return false;
  };
  const seeMaker = () => {
    const before = describe(Error, 'prepareStackTrace');
    const limit = Error.stackTraceLimit;
    try {
      Error.stackTraceLimit = 16;
      Error.prepareStackTrace = (error, sites) => isExecutors(sites);
      return new Error().stack === true;
    } finally {
      Error.stackTraceLimit = limit;
      if (before === undefined) delete Error.prepareStackTrace;
      else Object.defineProperty(Error, 'prepareStackTrace', before);
    }
  };
  const isMaker = (place) => {
    if (place === 0) return false;
    let known = makers.get(place);
    if (known !== undefined) return known;
    if (makers.size === most) makers.clear();
    makers.set(place, known = seeMaker());
    return known;
  };
  const makePlain = (promise, number, place) => {
    reactions.set(promise, []);
    idle.delete(number);
    if (!isMaker(place)) {
      if (place !== 0) functions.add(promise);
      return;
    }
    park();
    turn.waits = promise;
    turn.owner = number;
  };
  const keep = (promise) => {
    parked.delete(promise);
    if (turn.waits !== promise) return;
    turn.waits = undefined;
    turn.woken.length = 0; // it did not wait at all
  };
  const othersWait = (number) => {
    for (const [promise, owner] of parked) {
      if (owner === number) continue;
      if (isOpen(owner)) return true;
      parked.delete(promise);
    }
    for (const other of idle) {
      if (other === number) continue;
      if (isOpen(other)) return true;
      idle.delete(other);
    }
    return false;
  };
  // Up to Node 22 it has no class of its own.
  const isTick = (resource) => {
    const name = resource?.constructor?.name;
    return name === 'TickObject' || (name === 'Object' && typeof resource.callback === 'function');
  };
  const ticks = new WeakMap();
  const isPrograms = ({ callback }) => {
    if (typeof callback !== 'function') return true;
    let known = ticks.get(callback);
    if (known === undefined) ticks.set(callback, known = look(TICK) !== 0);
    return known;
  };
  const isDoubtful = (resource, number) => {
    if (!(number > 0) || parked.size + idle.size === 0) return false;
    const isATick = isTick(resource);
    const name = resource?.constructor?.name;
    if (!isATick && name !== 'Timeout' && name !== 'Immediate') return false;
    return othersWait(number) && (!isATick || isPrograms(resource));
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
      give(kind, total[kind] - end[kind], end[kind] - told[kind], Math.max(from, 0),
        Math.max(number, 0));
    }
    for (const request of asked) {
      if ((owners.get(request) ?? 0) !== Math.max(from, 0)) continue;
      owners.set(request, Math.max(number, 0));
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
  const isPassing = (resource) => isPromise(resource) || isTick(resource);
  const tagResource = (resource, from, number) => {
    if (number === handed) resource[key] = handed;
    else if (numberOf(resource) === from) resource[key] = number + (isPlain(resource) ? plain : 0);
  };
  const enterResource = (resource) => {
    if (resource === turn.runs) return;
    beginTurn(resource);
    const number = numberOf(resource);
    const strayed = strays.size > 0 && strays.has(number) && isPromise(resource);
    if (strayed || isDoubtful(resource, number)) resource[key] = handed;
  };
  const byResources = {
    init(promise, parent, place) {
      const resource = executionAsyncResource();
      enterResource(resource);
      if (parent === undefined) {
        promise[key] = numberOf(promise) + plain;
        makePlain(promise, numberOf(resource), place);
        return;
      }
      wait(promise, parent);
      reactions.get(parent)?.push(promise);
      // No code of the program's is running: this promise was resolved with the parent.
      if (isPlain(resource) && numberOf(resource) > 0) {
        settleTurn(parent, numberOf(parent), numberOf(resource), tagResource);
      }
    },
    settled(promise) {
      const resource = executionAsyncResource();
      enterResource(resource);
      keep(promise);
      const owner = numberOf(promise);
      if (owner <= 0) return;
      const number = numberOf(resource);
      if (number !== owner) {
        if (turn.gave === owner) endFunction(promise, owner, tagResource);
        else if (turn.waits !== undefined) turn.woken.push([promise, owner, tagResource]);
      } else if (wasMadeBefore(promise) && isPassing(resource)) {
        resource[key] = handed;
        if (isPromise(resource)) turn.gave = owner;
      }
    },
  };
  // Later the storage is V8's, which keeps it with whatever waits for a promise, and it is changed
  // when that runs. What was made before it mattered was made for the only one that was in work.
  const owned = new WeakMap();
  const tagged = new WeakMap();
  const derived = new WeakSet(); // promises that were made of another
  let only = 0;
  const tagFrame = (promise, from, number) => {
    tagged.set(promise, number);
    if (owned.has(promise)) owned.set(promise, number);
  };
  // Of a promise that was made before it mattered.
  const isUnseenTurn = (resource) => resource?.constructor === Object && !isTick(resource);
  const enterCallback = () => {
    if (turn.runs !== undefined) return;
    const resource = executionAsyncResource();
    if (resource !== turn.callback) {
      beginTurn(undefined);
      turn.callback = resource;
    }
    const number = storage.getStore();
    // What waited before it was looked at what waits has no turn of its own.
    const strayed = strays.size > 0 && strays.has(number);
    if (strayed || isDoubtful(resource, number)) storage.enterWith(handed);
  };
  const byFrames = {
    init(promise, parent, place) {
      enterCallback();
      make(promise);
      if (parent === undefined) {
        const number = storage.getStore() ?? 0;
        owned.set(promise, number);
        makePlain(promise, number, place);
        return;
      }
      derived.add(promise);
      wait(promise, parent);
      reactions.get(parent)?.push(promise);
      const number = turn.runs && owned.get(turn.runs);
      if (number > 0 && owned.has(parent)) settleTurn(parent, owned.get(parent), number, tagFrame);
    },
    before(promise) {
      beginTurn(promise);
      const number = tagged.get(promise);
      if (number !== undefined) storage.enterWith(number);
      else if (strays.size > 0 && strays.has(storage.getStore())) storage.enterWith(handed);
    },
    after() { beginTurn(undefined); },
    settled(promise) {
      enterCallback();
      keep(promise);
      if (derived.has(promise)) return;
      const owner = owned.get(promise) ?? only;
      if (!(owner > 0)) return;
      const number = storage.getStore() ?? 0;
      if (number !== owner) {
        if (turn.gave === owner) endFunction(promise, owner, tagFrame);
        else if (turn.waits !== undefined) turn.woken.push([promise, owner, tagFrame]);
      } else if (wasMadeBefore(promise)) {
        storage.enterWith(handed);
        if (turn.runs !== undefined || isUnseenTurn(turn.callback)) turn.gave = owner;
      }
    },
  };
  const attempt = (step, argument) => {
    try { if (argument !== undefined) step(argument); } catch { /* not known */ }
  };
  const operations = createHook({
    trackPromises: false,
    init(id, type) {
      if (type === 'PROMISE' || type === 'TickObject') return;
      try {
        enterCallback();
        operate(storage.getStore());
      } catch { /* not known */ }
    },
  });
  const isByResources = typeof key === 'symbol';
  if (isByResources) {
    storage._propagate = (resource, trigger, type) => {
      if (many) attempt(enterResource, trigger);
      const number = trigger[key] === undefined ? undefined : numberOf(trigger);
      // A program's own hooks change the order in which this and byResources.init come.
      const isPlainOne = type === 'PROMISE' && resource[key] === plain;
      resource[key] = isPlainOne ? (number ?? 0) + plain : number;
      if (type === 'ZLIB') attempt(makeHandle, [resource, trigger]);
      if (!many) return;
      make(resource);
      if (type !== 'PROMISE' && type !== 'TickObject') operate(number);
    };
  }
  // An exception in a hook ends the program; a promise that is frozen refuses what it is given. What
  // looks at the stack is called from here, so that few frames are above the program's.
  for (const hooks of [byResources, byFrames]) {
    const { init } = hooks;
    for (const [name, hook] of Object.entries(hooks)) {
      hooks[name] = (promise) => {
        try { hook(promise); } catch { /* not known */ }
      };
    }
    hooks.init = (promise, parent) => {
      try {
        init(promise, parent, parent === undefined && storage.getStore() ? look(MAKER) : 0);
      } catch { /* not known */ }
    };
  }
  const lookFor = (others) => {
    if (others === many) return;
    many = others;
    if (many) {
      stop = promiseHooks.createHook(isByResources ? byResources : byFrames);
      if (!isByResources) operations.enable();
      return;
    }
    stop();
    operations.disable();
    for (const _ of turns) beginTurn(undefined);
    for (const all of [parked, idle, strays]) all.clear();
  };
  // Code begins to work for that number.
  let latest = 0;
  let wasAlone = false;
  let begun = 0;
  let alone = 0; // the request whose first turns were not looked at
  const work = (number) => {
    storage.enterWith(number || undefined);
    if (number === 0) return;
    if (++begun % 4096 === 0) left += 16;
    const others = left > 0 && overlaps();
    if (others && !many) {
      only = wasAlone ? latest : 0;
      alone = latest;
    }
    wasAlone = left > 0 && !others;
    if (others) left--;
    latest = number;
    lookFor(others);
    if (many) beginTurn(isByResources ? executionAsyncResource() : undefined);
  };
  const enter = () => {
    if (isByResources) enterResource(executionAsyncResource());
    else enterCallback();
  };
  const current = () => {
    if (many) enter();
    const number = Math.floor(storage.getStore() ?? 0);
    if (number === handed) left = Infinity;
    return Math.max(number, 0);
  };

  const declare = (number, kind, name, target) => {
    operate(number);
    announce(number, kind, name, target);
    total[kind === 2 ? 1 : 0]++;
  };

  listen('http.server.request.start', ({ socket }) => {
    const number = begin(socket?._handle?.fd ?? -1, 0);
    work(number);
    if (many && number !== 0) idle.add(number);
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
    const number = many && current() === alone && look(BEGUN) !== 0 ? 0 : current();
    if (number !== 0) owners.set(request, number);
    if (!many) return;
    turn.asked.push(request);
    operate(number);
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
    operate(numbers[at]);
  };
  const send = (pipeline) => {
    const numbers = collected.get(pipeline);
    collect(numbers ?? [], numbers === undefined ? 0 : Math.max(0, size(pipeline)));
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
    operate(number);
    if (!doubts) return number;
    const resource = executionAsyncResource();
    const name = resource?.constructor?.name;
    if (name === 'Immediate' && resource._onImmediate?.name === 'executeAutoPipeline') {
      attempt(beginCollecting, resource);
    }
    return flushers.has(name) && !inflating.has(resource) ? -number : number;
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
  const enterJob = (value, isNew) => {
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

  // ws decompresses a message in a thread, by one handle of zlib's for a connection, whose callbacks
  // run as the first message's. A handle at rest that is at work when the callback of the stream has
  // ended which a message was read for has got that message, and until it is at rest again its
  // callbacks work for it. Whatever came while it was at work is not told apart. What waits for its
  // turn is begun in the callback of another connection's, and a handle that is made there is
  // nobody's, as far as it is one of ws's.
  const inflating = new Map(); // numbers of messages by handles that are at work
  const strangers = new WeakSet(); // handles that were made in the callbacks of others
  let hasStrangers = false;
  let reading; // the callback of the stream that runs
  const symbolOf = (object, name) => (
    Object.getOwnPropertySymbols(object).find(({ description }) => description === name));
  const follow = (object, ...names) => {
    for (const name of names) {
      if (typeof object !== 'object' || object === null || isProxy(object)) return undefined;
      object = value(object, typeof name === 'string' ? name : symbolOf(object, name[0]));
    }
    return object;
  };
  const receiverOf = (stream) => follow(stream, ['owner_symbol'], ['websocket'], '_receiver');
  const inflaterOf = (stream) => (
    follow(receiverOf(stream), '_extensions', 'permessage-deflate', '_inflate', '_handle'));
  const isInflater = (handle) => (
    follow(handle, ['owner_symbol'], ['permessage-deflate']) !== undefined);
  const isZlib = (resource) => resource?.constructor?.name === 'Zlib';
  const isAtWork = (handle) => (
    handle !== undefined && value(handle, 'buffer') instanceof Uint8Array);
  const endReading = ({ stream, number }) => {
    reading = undefined;
    const handle = inflaterOf(stream);
    if (isAtWork(handle)) inflating.set(handle, number);
    else if (follow(receiverOf(stream), '_compressed') === true) hasStrangers = true; // it waits
  };
  // While nothing is watched it is not known either whether it is one of ws's.
  const makeHandle = ([handle, resource]) => {
    if (isZlib(resource) && inflating.size === 0) handle[key] = undefined;
  };
  const inflation = createHook({
    trackPromises: false,
    init(id, type, trigger, handle) {
      if (type !== 'ZLIB') return;
      try {
        if (isZlib(executionAsyncResource())) strangers.add(handle);
      } catch { /* not known */ }
    },
    before() {
      try {
        const resource = executionAsyncResource();
        const number = inflating.get(resource);
        if (number !== undefined) {
          storage.enterWith(number);
        } else if (strangers.has(resource) && isInflater(resource)) {
          storage.enterWith(undefined);
          hasStrangers = true;
        }
      } catch { /* not known */ }
    },
    after() {
      try {
        const resource = executionAsyncResource();
        if (resource === reading?.stream) endReading(reading);
        else if (inflating.has(resource) && !isAtWork(resource)) inflating.delete(resource);
        if (reading === undefined && inflating.size === 0 && !hasStrangers) inflation.disable();
      } catch { /* not known */ }
    },
  });
  const read = (stream, number) => {
    if (isAtWork(inflaterOf(stream))) return;
    reading = { stream, number };
    inflation.enable();
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
        if (number === 0) return;
        work(number);
        read(resource, number);
      } catch { /* not known */ }
    },
  });
  const arrive = (on) => {
    descriptor = on;
    arrival.enable();
  };
  return [ask, enterJob, arrive];
})
