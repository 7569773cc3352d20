// The viewer: lists frames, asks for the chosen one over the websocket, shows it fitted to the window.
const REFRESH_MS = 10000; // Frames are announced; folders that come and go are not.
const SOON_MS = 200; // Between two looks when frames come in numbers.
const FRAME_EVENTS = ["frame.arrived", "frame.rewritten", "frame.gone"];
const PING_MS = 25000;
const RETRY_MS = [500, 1000, 2000, 5000, 10000];
const PAGE = 500;
const at = (id) => document.getElementById(id);

const list = { dir: "", entries: [], after: null, text: "" };
const shown = { ref: "", name: "", stamp: "", url: "", box: "" };

// ---- the websocket: one session, questions and replies matched by id

const live = { socket: null, waiting: new Map(), id: 0, failures: 0 };

function connect() {
  const address = new URL("live", document.baseURI);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  live.socket = socket;
  socket.onopen = () => {
    live.failures = 0;
    at("link").textContent = "live";
    ask({ op: "subscribe", filters: [["type", "in", FRAME_EVENTS]] }).then(refresh); // What came before is seen by looking.
    if (shown.ref && !at("stage").classList.contains("loaded")) load(); // The question asked meanwhile went nowhere.
  };
  socket.onmessage = ({ data }) => {
    const reply = JSON.parse(data);
    if (reply.op === "events") return void hear(reply.events.map(({ event }) => event.frame.ref));
    if (reply.op === "missed" || reply.op === "reset") return void refresh();
    live.waiting.get(reply.id)?.(reply);
    live.waiting.delete(reply.id);
  };
  socket.onclose = () => {
    for (const answer of live.waiting.values()) answer(null);
    live.waiting.clear();
    const wait = RETRY_MS[Math.min(live.failures++, RETRY_MS.length - 1)];
    at("link").textContent = `no connection, next try in ${wait / 1000} s`;
    setTimeout(connect, wait);
  };
}

function ask(message) {
  if (live.socket?.readyState !== WebSocket.OPEN) return Promise.resolve(null);
  const id = ++live.id;
  const reply = new Promise((answer) => live.waiting.set(id, answer));
  live.socket.send(JSON.stringify({ id, ...message }));
  return reply;
}

const news = { looking: false, more: false };

async function hear(refs) { // Look at the folder again if it is one of its frames, but no oftener than can be seen.
  if (!refs.some((ref) => ref.slice(0, ref.lastIndexOf("/")) === list.dir)) return;
  news.more = true;
  if (news.looking) return;
  news.looking = true;
  while (news.more) {
    news.more = false;
    await refresh();
    await new Promise((done) => setTimeout(done, SOON_MS));
  }
  news.looking = false;
}

// ---- the picture

let loading = null; // The AbortController of the picture on its way; aborting it ends the work for it.

async function load(exact = 0) { // Of a huge frame a coarse picture comes first.
  loading?.abort();
  const mine = (loading = new AbortController());
  const stage = at("stage");
  const ratio = window.devicePixelRatio || 1;
  shown.box = boxOf(stage, ratio);
  stage.classList.add("busy");
  if (!exact) stage.classList.remove("loaded");
  try {
    // A query string, not an object: `ref` is percent-encoded, so that names that are no text survive.
    const view = `frame=${shown.ref}&size=${shown.box}&color=auto&levels=auto&exact=${exact}`;
    const reply = await ask({ op: "src", view, runner: "main" });
    if (mine.signal.aborted || reply === null) return;
    if (reply.op === "error") return say(reply.title, reply.detail);
    const answer = await fetch(`img?u=${encodeURIComponent(reply.uid)}`, { signal: mine.signal });
    if (!answer.ok) return await explain(answer, mine);
    const url = URL.createObjectURL(await answer.blob());
    await put(url, ratio, mine);
    const facts = factsOf(answer);
    at("levels").textContent = levelsText(facts);
    if (facts.coarse && !exact) load(1);
  } catch (error) {
    if (error.name !== "AbortError") say("The picture did not arrive", "", true);
  } finally {
    if (loading === mine) stage.classList.remove("busy");
  }
}

function boxOf(stage, ratio) {
  return [stage.clientWidth, stage.clientHeight].map((side) => Math.max(1, Math.round(side * ratio))).join(",");
}

async function put(url, ratio, mine) {
  const next = new Image();
  next.src = url;
  await next.decode();
  if (mine.signal.aborted) return URL.revokeObjectURL(url);
  const picture = at("picture");
  picture.src = url;
  picture.alt = shown.name;
  picture.width = next.naturalWidth / ratio;
  picture.height = next.naturalHeight / ratio;
  picture.hidden = false;
  if (shown.url) URL.revokeObjectURL(shown.url);
  shown.url = url;
  at("stage").classList.add("loaded");
  say("");
}

async function explain(answer, mine) {
  const problem = await answer.json().catch(() => ({}));
  if (mine.signal.aborted) return;
  say(problem.title ?? `Error ${answer.status}`, problem.detail ?? "");
  const again = Number(answer.headers.get("retry-after"));
  if (again) setTimeout(() => loading === mine && load(), again * 1000);
}

function say(title, detail = "") {
  const words = at("words");
  words.textContent = detail ? `${title}: ${detail}` : title;
  words.classList.toggle("wrong", Boolean(title));
}

function factsOf(answer) {
  try {
    return JSON.parse(answer.headers.get("x-imgd-levels")) ?? {};
  } catch {
    return {};
  }
}

function levelsText({ levels, coarse }) {
  const numbers = (levels ?? []).flatMap((each) => (typeof each === "object" ? [each.black, each.white] : [each])).filter(Number.isFinite);
  const text = numbers.length ? `levels ${numbers.map((each) => Number(each.toPrecision(5))).join(" … ")}` : "";
  return coarse ? `${text} (coarse, the exact picture is on its way)` : text;
}

function show(entry) {
  Object.assign(shown, { ref: entry.ref, name: entry.name, stamp: stampOf(entry) });
  at("title").textContent = document.title = entry.name;
  mark();
  load();
}

// ---- the listing

const stampOf = (entry) => `${entry.modified} ${entry.size_bytes}`;
const frames = () => list.entries.filter((entry) => entry.kind === "frame");

async function fetchPage(after) {
  const order = at("newest").checked ? "newest" : "name";
  const query = `dir=${list.dir}&order=${order}&limit=${PAGE}&after=${encodeURIComponent(after)}`;
  const answer = await fetch(`frames?${query}`);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail);
  return body;
}

async function refresh() {
  const dir = list.dir;
  try {
    const page = await fetchPage("");
    if (dir !== list.dir) return;
    at("listing-words").textContent = page.whole ? "" : "This folder holds too many names; some are missing here.";
    if (list.entries.length > PAGE) return notice(page.entries); // Further pages are open: leave them in place.
    const text = JSON.stringify(page.entries);
    const grown = text !== list.text && list.text !== "";
    Object.assign(list, { entries: page.entries, after: page.after });
    if (text !== list.text) draw();
    list.text = text;
    notice(page.entries, grown);
  } catch (error) {
    at("listing-words").textContent = error instanceof TypeError ? "The daemon does not answer." : error.message;
  }
}

function notice(entries, grown = false) {
  const known = entries.find((entry) => entry.ref === shown.ref);
  const newest = entries.filter((entry) => entry.kind === "frame");
  newest.sort((one, other) => (one.modified < other.modified ? 1 : -1));
  if (grown && at("follow").checked && newest[0] && newest[0].ref !== shown.ref) show(newest[0]);
  else if (known && stampOf(known) !== shown.stamp) show(known); // It was rewritten.
}

function draw() {
  const parts = list.dir.split("/").filter(Boolean);
  const crumbs = [button("frames", () => enter(""))];
  parts.forEach((part, index) => {
    crumbs.push(document.createTextNode("/"));
    crumbs.push(button(nameOf(part), () => enter(parts.slice(0, index + 1).join("/"))));
  });
  at("crumbs").replaceChildren(...crumbs);
  const focused = document.activeElement?.dataset?.ref;
  at("frames").replaceChildren(...list.entries.map(row));
  at("more").hidden = list.after === null;
  if (focused) at("frames").querySelector(`[data-ref="${CSS.escape(focused)}"]`)?.focus();
  if (!list.entries.length) at("frames").append(Object.assign(document.createElement("li"), { className: "words", textContent: "Nothing here yet." }));
  mark();
}

function row(entry) {
  const open = button("", () => (entry.kind === "dir" ? enter(entry.ref) : show(entry)));
  open.dataset.ref = entry.ref;
  open.className = entry.kind;
  const cells = [
    ["mark", entry.kind === "dir" ? "▸" : entry.kind === "frame" ? "✦" : "·"],
    ["name", entry.name],
    ["size", entry.kind === "dir" ? "" : sizeText(entry.size_bytes)],
    ["time", entry.modified ? new Date(entry.modified).toLocaleString() : ""],
  ];
  for (const [className, textContent] of cells) {
    if (textContent) open.append(Object.assign(document.createElement("span"), { className, textContent }));
  }
  const item = document.createElement("li");
  item.append(open);
  return item;
}

function mark() {
  for (const each of at("frames").querySelectorAll("button")) {
    const current = each.dataset.ref === shown.ref;
    each.setAttribute("aria-current", String(current));
    if (current) each.scrollIntoView({ block: "nearest" });
  }
  const all = frames();
  const place = all.findIndex((entry) => entry.ref === shown.ref);
  at("previous").disabled = place <= 0;
  at("next").disabled = !all.length || place === all.length - 1;
}

function step(by) {
  const all = frames();
  const place = all.findIndex((entry) => entry.ref === shown.ref);
  const entry = place < 0 ? all[0] : all[place + by];
  if (entry) show(entry);
}

async function enter(dir) {
  Object.assign(list, { dir, entries: [], after: null, text: "" });
  await refresh();
}

function button(text, act) {
  const made = Object.assign(document.createElement("button"), { type: "button", textContent: text });
  made.addEventListener("click", act);
  return made;
}

function nameOf(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // A name that is not UTF-8.
  }
}

function sizeText(bytes) {
  const power = bytes ? Math.min(3, Math.floor(Math.log2(bytes) / 10)) : 0;
  return `${(bytes / 1024 ** power).toFixed(power ? 1 : 0)} ${["B", "KiB", "MiB", "GiB"][power]}`;
}

// ---- what people do

at("previous").addEventListener("click", () => step(-1));
at("next").addEventListener("click", () => step(1));
at("newest").addEventListener("change", () => enter(list.dir));
at("load-more").addEventListener("click", async () => {
  const page = await fetchPage(list.after);
  Object.assign(list, { entries: [...list.entries, ...page.entries], after: page.after });
  draw();
});
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === "ArrowLeft") step(-1);
  else if (event.key === "ArrowRight") step(1);
  else return;
  event.preventDefault();
});
let resized = 0;
new ResizeObserver(() => {
  clearTimeout(resized);
  resized = setTimeout(() => shown.ref && shown.box !== boxOf(at("stage"), window.devicePixelRatio || 1) && load(), 200);
}).observe(at("stage"));

async function start() {
  await enter("");
  if (list.entries.length === 1) await enter(list.entries[0].ref); // One root alone needs no choosing.
  if (frames().length) show(frames()[0]);
}

connect();
start();
setInterval(() => document.hidden || refresh(), REFRESH_MS);
setInterval(() => ask({ op: "ping" }), PING_MS);
