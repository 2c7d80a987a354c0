import { axes, box, circle, explorable, line, number, path, span, text, through } from "../kit/kit.js";
import { compute, seedsFor } from "./math.js";

const USERS = [50, 10000];
const SEEDS = 20;
const clamp = (v, low, high) => Math.max(low, Math.min(high, v));
const users = (x) => Math.round(clamp(10 ** x, ...USERS));
const seeds = (v) => clamp(Math.round(v), 1, SEEDS);
const percent = (v) => `${number(100 * v, 0)} %`;

function plans(s, v, left, top, width, height) {
  const a = axes({ left, top, width, height, x: USERS.map(Math.log10), y: [0, SEEDS + 1], ylabel: "seeds, m", xticks: 0 });
  let svg = a.svg + text("name", left + width / 2, a.bottom + 34, "users, n", "middle");
  for (const n of [100, 1000, 10000]) {
    const x = a.X(Math.log10(n));
    svg += line("axis", x, a.bottom, x, a.bottom + 4) + text("tick", x, a.bottom + 17, String(n), n === 10000 ? "end" : "middle");
  }
  const same = span(...USERS.map(Math.log10), 160).map((x) => [x, seedsFor(v.both ** 2, 10 ** x, s)]);
  const seen = same.filter(([, m]) => m >= 0.5 && m <= SEEDS + 1).map(([x, m]) => [a.X(x), a.Y(m)]);
  if (seen.length > 1) svg += path("s good thick", through(seen));
  svg += text("good", a.right, top + 34, "plans with the same error", "end");
  return { svg, view: a };
}

function intervals(s, v, left, top, width, height) {
  const reach = 1.96 * v.both * 1.1 || 1;
  const a = axes({ left, top, width, height, x: [-reach, reach], y: [0, 3], xlabel: "around the true difference", xticks: 3, yticks: 0 });
  let svg = a.svg + line("ink dash", a.X(0), top, a.X(0), a.bottom);
  const rows = [
    ["naive", v.naive, v.coverNaive, "bad"],
    ["users", v.users, v.coverUsers, v.coverUsers < 0.93 ? "bad" : "good"],
    ["both", v.both, 0.95, "good"],
  ];
  rows.forEach(([name, se, cover, colour], k) => {
    const y = a.Y(2.5 - k);
    const [from, to] = [a.X(-1.96 * se), a.X(1.96 * se)];
    const paint = name === "naive" && cover > 0.93 ? "good" : colour;
    svg += box(`${paint} a3`, from, y - 4, to - from, 8) + circle(`f ${paint}`, a.X(0), y, 4);
    svg += text(paint, left, y - 10, `${name}: covers ${percent(cover)}`);
  });
  return svg;
}

function paint(s, v, width) {
  const wide = width >= 560;
  const each = wide ? (width - 90) / 2 : width - 56;
  const first = plans(s, v, 36, 30, each, 250);
  const second = wide ? intervals(s, v, 36 + each + 40, 30, each, 250) : intervals(s, v, 36, 364, each, 190);
  return { height: wide ? 326 : 600, svg: first.svg + second, view: first.view };
}

const small = (v) => number(v, 4);
explorable({
  start: { n: 1000, m: 5, a: 0.05, b: 0.0015, e: 0.07 },
  compute,
  controls: [
    { key: "n", label: "test users, n", min: USERS[0], max: USERS[1], step: 0.01, log: true, text: (v) => String(Math.round(v)) },
    { key: "m", label: "seeds, m", min: 1, max: SEEDS, step: 1, text: String },
    { key: "a", label: "spread over users, σ_a", min: 0, max: 0.2, step: 0.01, text: (v) => number(v) },
    { key: "b", label: "spread of whole seeds, σ_b", min: 0, max: 0.02, step: 0.0005, text: small },
    { key: "e", label: "spread of user × seed, σ_e", min: 0.01, max: 0.2, step: 0.01, text: (v) => number(v) },
  ],
  handles: [
    {
      name: "plan of the study",
      at: (s, a) => [a.X(Math.log10(s.n)), a.Y(s.m)],
      move: (s, [x, y], a) => ({ n: users(a.toX(x)), m: seeds(a.toY(y)) }),
      key: (s, dx, dy) => ({ n: users(Math.log10(s.n) + 0.05 * dx), m: seeds(s.m + dy) }),
      words: (s) => `${Math.round(s.n)} users, ${s.m} seeds`,
    },
  ],
  paint,
  numbers: [
    { key: "both", label: "standard error, users and seeds", text: (v) => small(v.both) },
    { key: "users", label: "… over users alone", text: (v) => small(v.users) },
    { key: "naive", label: "… all values as if independent", text: (v) => small(v.naive) },
    { key: "ofSeeds", label: "part of whole seeds in the variance", text: (v) => percent(v.ofSeeds) },
    { key: "twiceUsers", label: "twice the users: error falls by", text: (v) => percent(v.twiceUsers) },
    { key: "twiceSeeds", label: "twice the seeds: error falls by", text: (v) => percent(v.twiceSeeds) },
  ],
  reading: (s, v) => {
    const cover = `The interval over users holds the truth in <b class="${v.coverUsers < 0.93 ? "bad" : "good"}">${percent(v.coverUsers)}</b> of studies.`;
    const more = v.twiceUsers - v.twiceSeeds;
    if (Math.abs(more) < 1e-9) return `${cover} Here twice the users and twice the seeds help <b>alike</b>.`;
    return `${cover} Here twice the <b>${more > 0 ? "users help more than twice the seeds" : "seeds help more than twice the users"}</b>.`;
  },
});
