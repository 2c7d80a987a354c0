// What a training costs: operations of an epoch, memory of a run, beside EASE. Counted, not timed. No drawing here.

export const BATCH = 500; // users of an update
export const HIDDEN = 600; // units of the one hidden layer on each side
export const TAKEN = 73; // items of a user, as on MovieLens-20M
const MIB = 2 ** 20;
const CHUNK = 2 ** 25; // logits beyond this many are made in blocks of users
const RANKED = 2 ** 23; // scores of a block of users in ranking
const ROWS = 512; // rows of a block of EASE

/** Numbers that a Mult-VAE learns: both item layers, the two small layers, and their biases. */
export const parameters = (items, latent) =>
  2 * HIDDEN * items + items + 3 * latent * HIDDEN + 2 * HIDDEN + 2 * latent;

/** Operations of one update, part by part. */
export function update(items, latent, batch) {
  return {
    output: 6 * batch * HIDDEN * items, // three products
    between: 6 * batch * 3 * latent * HIDDEN,
    input: 4 * batch * TAKEN * HIDDEN, // only the rows of the items that users have
    adam: 12 * parameters(items, latent),
  };
}

/** Bytes of a run of Mult-VAE at its peak, in float32, beside what the process holds already. */
export function vaeBytes(users, items, latent) {
  const batch = Math.min(BATCH, users);
  const events = TAKEN * users;
  const rows = Math.min(batch, Math.max(1, Math.floor(CHUNK / items)));
  const training = 8 * (HIDDEN + 1) * items + 12 * rows * items + Math.floor((160 * events * batch) / users);
  const ranking = 12 * Math.min(RANKED, users * items);
  return 95 * MIB + 8 * events + 20 * parameters(items, latent) + Math.max(training, ranking);
}

/** The same of EASE: one matrix of items by items. */
export const easeBytes = (users, items) => 6 * MIB + 16 * TAKEN * users + 4 * items ** 2 + 12 * ROWS * items;

/** users, items, latent = d. */
export function compute({ users, items, latent }) {
  const batch = Math.min(BATCH, users);
  const parts = update(items, latent, batch);
  const one = parts.output + parts.between + parts.input + parts.adam;
  const times = (n, d) => {
    const other = update(n, d, batch);
    return (other.output + other.between + other.input + other.adam) / one;
  };
  const updates = Math.ceil(users / batch);
  return {
    ...parts,
    one,
    updates,
    epoch: updates * one,
    parameters: parameters(items, latent),
    vae: vaeBytes(users, items, latent),
    ease: easeBytes(users, items),
    twiceItems: times(2 * items, latent),
    twiceLatent: times(items, 2 * latent),
    twiceUsers: Math.ceil((2 * users) / batch) / updates,
  };
}
