import { axes, box, explorable, line, number, path, span, text, through } from "../kit/kit.js";
import { compute, easeBytes, vaeBytes } from "./math.js";

const ITEMS = [300, 1000000];
const GB = [0.03, 10000];
const log = Math.log10;
const clamp = (v, [low, high]) => Math.max(low, Math.min(high, v));
const whole = (v) => Math.round(clamp(Number((10 ** v).toPrecision(3)), ITEMS));
const count = (v) => String(Math.round(v)).replace(/\B(?=(\d{3})+$)/g, ",");
const gigabytes = (v) => `${number(v / 1e9, v < 1e10 ? 2 : v < 1e11 ? 1 : 0)} GB`;
const large = (v) => (v < 1e12 ? `${number(v / 1e9, v < 1e11 ? 1 : 0)} billion` : `${number(v / 1e12, v < 1e14 ? 1 : 0)} trillion`);

function memory(s, v, left, top, width, height) {
  const a = axes({ left, top, width, height, x: ITEMS.map(log), y: GB.map(log), ylabel: "memory of a run (GB)", xticks: 0, yticks: 0 });
  let svg = a.svg + text("name", left + width / 2, a.bottom + 34, "items", "middle");
  for (const n of [1e3, 1e4, 1e5, 1e6]) {
    svg += line("axis", a.X(log(n)), a.bottom, a.X(log(n)), a.bottom + 4);
    svg += text("tick", a.X(log(n)), a.bottom + 17, n < 1e6 ? count(n) : "1 million", n < 1e6 ? "middle" : "end");
  }
  for (const g of [0.1, 1, 10, 100, 1000]) {
    svg += line("grid", left, a.Y(log(g)), a.right, a.Y(log(g))) + text("tick", left - 6, a.Y(log(g)) + 4, String(g), "end");
  }
  const at = span(...ITEMS.map(log), 81);
  const curve = (of) => through(at.map((x) => [a.X(x), log(of(10 ** x) / 1e9)]).filter(([, g]) => g >= log(GB[0])).map(([x, g]) => [x, a.Y(g)]));
  svg += path("s v thick", curve((n) => easeBytes(s.users, n))) + path("s u thick", curve((n) => vaeBytes(s.users, n, s.latent)));
  svg += text("v", a.X(5.55), a.Y(3.05), "EASE", "end") + text("u", a.X(5.95), a.Y(log(vaeBytes(s.users, 10 ** 5.3, s.latent) / 1e9) - 0.75), "Mult-VAE", "end");
  return { svg, view: a };
}

function operations(s, v, left, top, width, height) {
  const rows = [["as it is", 1], ["twice the latent size", v.twiceLatent], ["twice the items", v.twiceItems], ["twice the users", v.twiceUsers]];
  const most = Math.max(2.1, ...rows.map(([, t]) => t));
  const a = axes({ left, top, width, height, x: [0, most], y: [0, 4], xlabel: "operations of an epoch, times those now", xticks: 4, yticks: 0 });
  let svg = a.svg + line("ink dash", a.X(1), top, a.X(1), a.bottom);
  rows.forEach(([name, times], k) => {
    const y = a.Y(3.55 - k);
    const colour = k === 0 ? "soft" : times < 1.2 ? "good" : "bad";
    svg += text("strong", left, y - 6, `${name}: ${number(times)}`) + box(`${colour} a6`, left, y, a.X(times) - left, 0.3 * (height / 4));
  });
  return svg;
}

function paint(s, v, width) {
  const wide = width >= 560;
  const each = wide ? (width - 100) / 2 : width - 56;
  const first = memory(s, v, 46, 30, each, 250);
  const second = wide ? operations(s, v, 46 + each + 40, 30, each, 250) : operations(s, v, 46, 350, each, 220);
  return { height: wide ? 326 : 616, svg: first.svg + second, view: first.view };
}

const share = (v, part) => `${number((100 * part) / v.one, 0)} %`;
explorable({
  start: { users: 100000, items: 20000, latent: 200 },
  compute,
  controls: [
    { key: "items", label: "items, I", min: ITEMS[0], max: ITEMS[1], step: 0.01, log: true, text: count },
    { key: "latent", label: "latent dimensions, d", min: 10, max: 1000, step: 0.01, log: true, text: count, also: (d) => ({ latent: Math.round(d) }) },
    { key: "users", label: "users", min: 1000, max: 10000000, step: 0.01, log: true, text: count, also: (n) => ({ users: Math.round(n) }) },
  ],
  handles: [
    {
      name: "number of items",
      colour: "u",
      at: (s, a) => [a.X(log(s.items)), a.Y(log(vaeBytes(s.users, s.items, s.latent) / 1e9))],
      move: (s, [x], a) => ({ items: whole(a.toX(x)) }),
      key: (s, dx, dy) => ({ items: whole(log(s.items) + 0.1 * (dx + dy)) }),
      words: (s) => `${count(s.items)} items`,
    },
  ],
  paint,
  numbers: [
    { key: "epoch", label: "operations of an epoch", text: (v) => large(v.epoch) },
    { key: "one", label: "operations of one update", text: (v) => large(v.one) },
    { key: "output", label: "… in the output layer", text: (v) => share(v, v.output) },
    { key: "between", label: "… in between", text: (v) => share(v, v.between) },
    { key: "adam", label: "… by Adam", text: (v) => share(v, v.adam) },
    { key: "vae", label: "memory of Mult-VAE", text: (v) => gigabytes(v.vae) },
    { key: "ease", label: "memory of EASE", text: (v) => gigabytes(v.ease) },
  ],
  reading: (s, v) => {
    const matrix = 4 * s.items ** 2 > v.ease / 2;
    const why = matrix ? "its matrix grows with the square of the items" : "most of it is the data of the users, which it holds twice";
    const larger = v.ease > v.vae ? `EASE takes more memory: ${why}.` : "Mult-VAE takes more memory.";
    return `Twice the items: <b>${number(v.twiceItems)}</b> times the operations. Twice the latent size: <b>${number(v.twiceLatent)}</b> times. ${larger}`;
  },
});
