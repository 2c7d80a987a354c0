# %% [markdown]
# # 10. How would one know that it works for people?
# **Study** 75 min · **runs** 33 CPU seconds (33 s when it was built), 0.7 GB on 1 core · **needs** [chapter 00](00_quickstart.ipynb), variance, the normal distribution
#
# **You will be able to** (1) write a model of how people look at a list and click, (2) say how far an offline metric
# predicts clicks, (3) plan the size of an experiment, (4) find the unit of randomisation and its standard error,
# (5) show what peeking does and repair it, (6) read a published [lift](GLOSSARY.md#lift) by asking for its control. [Glossary](GLOSSARY.md).

# %% [markdown]
# ## 10.1 Question
#
# Does a better nDCG make anybody click more? Only an
# **online experiment** (A/B test) can tell: each person is put by chance into one of two [*arms*](GLOSSARY.md#arm); one arm gets the lists
# of the old recommender (control), the other those of the new one (treatment); one counts clicks.
#
# **Everything here is a simulation**: people with planted preferences, which no recommender sees, look at lists and click. It can test *methods*, as we know the truth.

# %% tags=["setup"]
import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp
import torch
from scipy import integrate, stats

import minivae as mv
from minivae import online
from minivae.data.splits import FoldIn
from minivae.ranking import paired_difference
from minivae.study.output import published

rng = np.random.default_rng(0)
data = mv.planted(n_users=10_000, n_items=300, n_events=300_000, seed=0)
known = data.user < 3_000  # the recommenders learn from these; the experiment is with the 7,000 others
log = mv.Interactions(data.user[known], data.item[known], np.arange(3_000), data.item_labels)
split = mv.strong_split(log, n_heldout=500)
people = online.Audience.planted(data, np.arange(3_000, 10_000), split.item_labels)


# %%
class Shuffled:
    """The same random list for everybody."""

    def score(self, history):
        return torch.rand(history.shape[1], generator=torch.Generator().manual_seed(0)).expand(history.shape)


common = {"keep": 0.5, "beta": 0.2, "anneal_steps": 100, "lr": 5e-3, "batch_size": 200}


def train(epochs=16, latent=16, **settings):
    model = mv.MultVAE(split.n_items, hidden=100, latent=latent)
    return mv.fit(model, split, mv.TrainConfig(**common, epochs=epochs, **settings)).model


plain = [train(seed=seed) for seed in range(5)]
anchored = [train(seed=seed, anchor=1.0) for seed in range(5)]
simple = {
    "random": Shuffled(),
    "popularity": mv.Popularity().fit(split.train),
    "EASE": mv.EASE(l2=200.0).fit(split.train),
}

# %% [markdown]
# **Predict.** In our simulation Mult-VAE with anchors replaces (a) a random list, (b) the most popular items, (c) EASE,
# (d) Mult-VAE without anchors. By how many per cent do clicks per impression change? Write four numbers down.
#
# ## 10.2 Claim
#
# What was published (Amazon streaming, September 2025, about 25 million users, half of the traffic; [S]: read in notes on the
# paper, not in the paper itself; a reviewer called the control "a weak statistical baseline" [S]):

# %% tags=["nbval-check-output"] jupyter={"source_hidden": true}
print("published, not ours")
for card, row in published.paper("A/B test").items():
    print(f"  {card:10}", *(f"{what} {value:+.0%} [{tag}]" for what, (value, tag) in row.items()), sep="   ")

# %% [markdown]
# We need one assumption, a list has a [**position bias**](GLOSSARY.md#position-bias), and three claims: the **size** needed grows
# with the inverse square of the effect; the **unit** of the error is the person, not the impression; and whoever
# **looks every evening** and stops at the first success is wrong much more often than in 5 % of the experiments.
#
# ## 10.3 People who click
#
# A visit shows ten items. A person looks at the first, perhaps clicks, and looks at the next with probability $g$ (`go_on`),
# or $g\,f$ if they have just clicked (`after_click`). Person $u$ clicks an item that they look at with probability
#
# $$a_{ui} = \frac{\pi_{ui}}{\pi_{ui} + o_u},$$
#
# $\pi_{ui}$ the true preference among new items, $o_u$ the appeal of the rest of the world to this person (Luce's rule of choice). With $f=1$ this is a pure position bias $g^{k-1}$ at rank $k$; with $f=0$ the cascade
# model, which ends with a click. What was clicked is not shown again. In the experiments below a person comes on one day and
# makes five visits on average (`visits`), some many more than others (`loyalty`); $o_u$ has the median .5 (`outside`) and differs between persons (`mood`).


# %% tags=["from-scratch"]
def visit(attraction, go_on, after_click):
    clicks = np.zeros(attraction.shape, bool)  # (U, slots)
    looks = np.ones(len(attraction), bool)
    for rank in range(attraction.shape[1]):
        clicks[:, rank] = looks & (rng.random(len(looks)) < attraction[:, rank])
        looks &= rng.random(len(looks)) < go_on * np.where(clicks[:, rank], after_click, 1)
    return clicks


# %% [markdown]
# If every item has the same attraction $a$, the chance to look at rank $k$ is $q^{k-1}$ with $q = g\,(1 - a + a f)$.

# %% tags=["nbval-check-output"]
a, n = 0.3, 20_000
scratch = visit(np.full((n, 10), a), 0.85, 0.5)
formula = a * (0.85 * (1 - a + a * 0.5)) ** np.arange(10)  # (10,)
away = abs(scratch.mean(0) - formula) / np.sqrt(formula * (1 - formula) / n)
print(f"from scratch and formula, ten ranks: at most {away.max():.1f} standard errors apart")

# %% tags=["checks"] jupyter={"source_hidden": true}
appeal = np.full((n, 10), a / (1 - a))  # appeal in units of the outside world
shelf = online.Shelf(np.arange(n), np.tile(np.arange(10), (n, 1)), appeal)
once = online.Behaviour(go_on=0.85, after_click=0.5, visits=1, loyalty=0, outside=1, mood=0)
package = online.simulate(shelf, shelf, behaviour=once).clicks
for clicks in (scratch.sum(1), package):
    assert abs(clicks.mean() - formula.sum()) < 4 * clicks.std() / n**0.5
assert away.max() < 4

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(7, 3))
ranks = np.arange(1, 11)
named = {"position bias only": 1.0, "used here": 0.5, "cascade": 0.0}
by_f = {f"$f={f:g}$: {name}": visit(np.full((n, 10), a), 0.85, f).mean(0) for name, f in named.items()}
mv.plots.lines(ranks, by_f, ax=ax)
ax.set(xlabel="rank in the list", ylabel="clicks per visit ($a=0.3$)", xticks=ranks, ylim=(0, None))
ax.legend(frameon=False)
fig.tight_layout()
print("a click at rank 1 against one at rank 10, exact")
for name, f in named.items():
    print(f"  {name:18} {(0.85 * (1 - a + a * f)) ** -9:4.0f} times as likely")

# %% [markdown]
# **Reading.** All items here are equally attractive; the list alone makes a click at rank 1 4 times as likely as one at rank 10
# without cascade, and 107 times with it. A model that learns from such clicks that rank 1 is *better* has learned the list.
#
# ## 10.4 Does an offline metric predict clicks?
#
# A simulation can give *everybody* the lists of each recommender in turn: all comparisons are paired. Offline, left: 500 held-out users
# (without a name: the best). Right: the same 7,000, each item of
# their history hidden once (five folds, mean per person), the best recommenders only, all named.
#
# **Predict**: do 500 users suffice to put EASE ahead of Mult-VAE?

# %%
shelves = {name: people.shelf(m) for name, m in simple.items()}
shelves |= {f"Mult-VAE {k}": people.shelf(m) for k, m in enumerate(plain)}
shelves |= {f"anchors {k}": people.shelf(m) for k, m in enumerate(anchored)}
weak = {"EASE, l2=1": mv.EASE(l2=1.0).fit(split.train), "λ = 5": train(anchor=5.0)}
weak |= {"4 epochs": train(epochs=4), "latent 2": train(latent=2)}
shelves |= {name: people.shelf(m) for name, m in weak.items()}
recommenders = simple | {f"Mult-VAE {k}": m for k, m in enumerate(plain)}
recommenders |= {f"anchors {k}": m for k, m in enumerate(anchored)} | weak
marks = {name: mv.evaluate(m, split.test) for name, m in recommenders.items()}
offline = {name: m["ndcg@100"] for name, m in marks.items()}
history = people.history.tocoo()
fold = np.random.default_rng(0).integers(0, 5, history.nnz)  # every item is hidden once, in one of five folds


def entries(where):
    return sp.csr_matrix((np.ones(where.sum()), (history.row[where], history.col[where])), history.shape)


best = [name for name in recommenders if offline[name][0] > 0.563]  # the ten models, EASE and λ = 5
parts = [FoldIn(entries(fold != k), entries(fold == k)) for k in range(5)]  # the 7,000 people of the experiment
by_fold = {n: [mv.evaluate(recommenders[n], part, ["ndcg@100"]).per_user["ndcg@100"] for part in parts] for n in best}
same = {name: np.nanmean(folds, axis=0) for name, folds in by_fold.items()}  # (7000,) each
everybody = {name: online.simulate(s, s) for name, s in shelves.items()}  # same seed: same people, same visits
clicks = {name: out.clicks for name, out in everybody.items()}

# %% jupyter={"source_hidden": true}
fig, (whole, near) = plt.subplots(1, 2, figsize=(10, 4))
kinds = {"Mult-VAE": "Mult-VAE, 5 seeds", "anchors": "with anchors, 5 seeds"}
online_mean = {name: of.mean() for name, of in clicks.items()}
mv.plots.named_points({n: (offline[n][0], y) for n, y in online_mean.items()}, kinds, unnamed=best, ax=whole)
mv.plots.named_points({n: (same[n].mean(), online_mean[n]) for n in best}, kinds, ax=near)
whole.set(xlabel="offline: test nDCG@100 of 500 users", ylabel="online: clicks per person", xlim=(0.03, 0.63))
near.set(xlabel="offline: nDCG@100 of the same 7,000 people, the best only")
near.margins(x=0.25, y=0.15)
near.legend(frameon=False, loc="lower right")
fig.tight_layout()

# %% jupyter={"source_hidden": true}
x, y = ([f(name) for name in recommenders] for f in (lambda m: offline[m][0], lambda m: clicks[m].mean()))
tau = stats.kendalltau(x, y).statistic
among = [
    stats.kendalltau([f(n) for n in best], [clicks[n].mean() for n in best]).statistic
    for f in (lambda n: offline[n][0], lambda n: same[n].mean())
]
group = {k: [n for n in recommenders if n.startswith(k)] for k in kinds}
print(f"Kendall's rank correlation of nDCG@100 with clicks (1 population), {len(x)} recommenders: {tau:.2f};")
print(f"  the best {len(best)}: {among[0]:.2f} with 500 users, {among[1]:.2f} with the same 7,000")
behind = [mv.compare(marks["EASE"], marks[n])["ndcg@100"] for n in group["Mult-VAE"]]
ahead = [paired_difference(clicks["EASE"] - clicks[n]) for n in group["Mult-VAE"]]  # the same people and visits
close = [paired_difference(same["EASE"] - same[n]) for n in group["Mult-VAE"]]
print("EASE − Mult-VAE, 5 models: intervals above 0, and their lowest and highest end")
for what, of in {"nDCG@100, 500 users": behind, "nDCG@100, same 7,000": close, "clicks, same 7,000": ahead}.items():
    ends = min(d.low for d in of), max(d.high for d in of)
    print(f"  {what:22} {sum(d.low > 0 for d in of)}   [{ends[0]:+.3f}, {ends[1]:+.3f}]")

# %% [markdown]
# EASE is ahead of all five Mult-VAEs online, and with the 500 held-out users no interval says so. Is it the metric, or
# the number of people? Take the metric of the 7,000, and draw 500 of *them* at random, 200 times: how often does the
# paired interval lie above 0? Five folds hide more of each person; one fold is tried too:


# %% tags=["from-scratch"]
def above_zero(d, people, draws=200):  # d (U,) differences of persons -> fraction of draws whose interval lies above 0
    chance = np.random.default_rng(1)
    picked = np.stack([chance.choice(d, people, replace=False) for _ in range(draws)])  # (draws, people)
    return (picked.mean(1) > 1.96 * picked.std(1, ddof=1) / people**0.5).mean()


# %%
one_fold = {n: of[0][~np.isnan(of[0])] for n, of in by_fold.items()}  # people with something hidden there
shares = {
    (number, label): [above_zero(of["EASE"] - of[n], number) for n in group["Mult-VAE"]]
    for number in (500, 4000)
    for label, of in (("one fold", one_fold), ("five folds", same))
}
by_clicks = {k: [above_zero(clicks["EASE"] - clicks[n], k) for n in group["Mult-VAE"]] for k in (500, 4000)}
print("fraction of 200 draws with the interval above 0, EASE − Mult-VAE 0, 1, …, 4")
for (number, label), of in (shares | {(number, "clicks"): of for number, of in by_clicks.items()}).items():
    print(f"  {number:5,} people, {label:10}", *(f"{share:5.1%}".rjust(6) for share in of))

# %% tags=["checks"] jupyter={"source_hidden": true}
assert tau > 0.5
assert all(d.low > 0 for d in close)
assert all(d.low > 0 for d in ahead)
assert all(d.low < 0 < d.high for d in behind)
one, five, many_one, many = shares.values()
assert max(one) < 0.25
assert min(five) < 0.3
assert max(five) > 0.5
assert all(a < b < d and a < c < d for a, b, c, d in zip(one, five, many_one, many, strict=True))
assert min(many) > 0.5
assert 0.2 < min(by_clicks[500]) <= max(by_clicks[500]) < 0.7
assert min(by_clicks[4000]) > 0.97

# %% [markdown]
# **Reading.** What is much better offline is better online (one population). With the *same* 7,000 people
# nDCG@100 also puts EASE ahead of all five models, in every interval.
#
# How often does a draw show it? 500 people, one fold: some 2 to 16 %. Five folds instead: 8 % to more than half, more for each model. Clicks of 500 people: some 28 to 53 %.
# 4,000 people, one fold: some 2 to 95 % (for one model the rise may be chance). Five folds: 60 to 100 %. Clicks: 99 % or more.
#
# So here the number of people made a difference, and how much of each person was hidden. (Draws of 4,000 from at most 7,000 overlap: with new people the fractions would be less extreme.)
#
# ## 10.5 How many people?
#
# **Derivation.** Let $s$ be the standard deviation of a metric over persons, $\delta$ the true difference, $U$ persons
# in each arm. The estimate has the standard error $\mathrm{se} = s\sqrt{2/U}$, and a two-sided test at level $\alpha$
# wants $|\hat\delta| > z_{1-\alpha/2}\,\mathrm{se}$. With probability $p$ (the [*power*](GLOSSARY.md#power)) it succeeds if
# $\delta = (z_{1-\alpha/2} + z_p)\,\mathrm{se}$. Solve for $U$:
#
# $$U = 2\,(z_{1-\alpha/2}+z_p)^2\,\frac{s^2}{\delta^2} \approx 16\,\frac{s^2}{\delta^2}
# \qquad(\alpha=.05,\ p=.8).$$
#
# A tenth of the effect needs a hundred times the people.


# %% tags=["from-scratch"]
def persons_per_arm(s, delta, alpha=0.05, power=0.8):
    z = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)
    return int(np.ceil(2 * (z * s / delta) ** 2))


# %% tags=["nbval-check-output"]
for s, delta in ((2.0, 0.1), (1.0, 0.03), (0.4, 0.2)):
    assert online.sample_size(1.0, 1.0 + delta, sd=s) == (persons_per_arm(s, delta),) * 2
per_arm = persons_per_arm(2.0, 0.1)
z = rng.normal(0.1 / (2.0 * (2 / per_arm) ** 0.5), 1, 20_000)  # 20,000 experiments of that size, in standard errors
power = (abs(z) > 1.96).mean()
print(
    f"from scratch = package; {per_arm:,} in each arm: {power:.2f} of 20,000 normal estimates, the formula's own assumption, see it"
)

# %% tags=["checks"] jupyter={"source_hidden": true}
assert abs(power - 0.8) < 4 * (0.16 / 20_000) ** 0.5
sizes = online.sample_size(0.10, 0.12)  # a proportion: its sd is known
low, high = (rng.binomial(k, p, 20_000) / k for k, p in zip(sizes, (0.10, 0.12), strict=True))
se = np.sqrt(low * (1 - low) / sizes[0] + high * (1 - high) / sizes[1])
assert abs((abs(high - low) > 1.96 * se).mean() - 0.8) < 4 * (0.16 / 20_000) ** 0.5

# %%
pilot = clicks["popularity"][:1000]  # last week's data of the control
print(f"pilot: {pilot.mean():.2f} clicks per person, standard deviation {pilot.std():.2f}")
needed = {}
for lift in (0.4, 0.1, 0.02, 0.005):
    needed[lift] = online.sample_size(pilot.mean(), pilot.mean() * (1 + lift), sd=pilot.std())[0]
    print(f"  to see a lift of {lift:5.1%}: {needed[lift]:>9,} persons in each arm")
draw, (old, new) = np.random.default_rng(3), (clicks[k] for k in ("popularity", "Mult-VAE 0"))
planned = online.sample_size(old.mean(), new.mean(), sd=old.std())[0]
c, t = (draw.choice(k, (5_000, planned)) for k in (old, new))  # 5,000 experiments with skewed clicks
seen = (abs(t.mean(1) - c.mean(1)) > 1.96 * np.sqrt((c.var(1, ddof=1) + t.var(1, ddof=1)) / planned)).mean()
print(
    f"planned for the lift of Mult-VAE 0, {new.mean() / old.mean() - 1:.0%}: {planned} in each arm; with clicks {seen:.2f} see it"
)
reach = stats.norm.cdf((new.mean() - old.mean()) / np.hypot(old.std(), new.std()) * planned**0.5 - 1.96)
print(f"  standard deviations {old.std():.2f} (control) and {new.std():.2f}; the formula with both: power {reach:.2f}")

# %% [markdown]
# **Reading.** Against popularity, with a lift of some 40 %, the formula asks for a few hundred people. (A plan for 47 % had power .7, not .8: the treatment's clicks spread more, and the formula with both spreads says .7, too.) Our better models differ by a few
# per cent or less (10.8); for a lift of two per cent even our 7,000 are far too few.
#
# ## 10.6 Who is the unit?
#
# *Clicks per impression* is a ratio: $R = \sum_u c_u / \sum_u n_u$, with $c_u$ clicks on $n_u$ items shown. One may treat each impression as a coin, $\mathrm{se}^2 = R(1-R)/\sum_u n_u$. But we randomised **persons**, and
# the impressions of one person are alike: some click a lot. Write $R - R_0 = \frac{1}{U\bar n}\sum_u (c_u - R_0\,n_u)$,
# exact, with $R_0$ the true ratio. A mean over independent persons, apart from the small variation of $\bar n$; with
# $R$ for the unknown $R_0$
#
# $$\mathrm{se}^2 = \frac{1}{U}\,\frac{\mathrm{Var}_u(c_u - R\,n_u)}{\bar n^2} \qquad\text{(delta method).}$$
#
# That is the error of one arm; the arms are independent, so the squares of their errors add up.


# %% tags=["from-scratch"]
def ratio(clicks, shown):
    r = clicks.sum() / shown.sum()
    parts = (clicks - r * shown) / shown.mean()
    return r, parts.std(ddof=1) / len(clicks) ** 0.5


# %% tags=["from-scratch"]
def bootstrap(clicks, shown, draws=2000):  # the same error without a formula: draw the persons of the arm again
    again = rng.integers(0, len(clicks), (draws, len(clicks)))
    return (clicks[again].sum(1) / shown[again].sum(1)).std()


# %% tags=["nbval-check-output"]
control = shelves["popularity"][:700]
out = online.simulate(control, control)
effect = online.analyse(out, "ctr per impression")
arms = [(out.clicks[arm], out.shown[arm]) for arm in (~out.treated, out.treated)]
(r0, se0), (r1, se1) = (ratio(*arm) for arm in arms)
np.testing.assert_allclose([r1 - r0, np.hypot(se0, se1)], [effect.difference, effect.se])
again = np.hypot(*(bootstrap(*arm) for arm in arms))
print(f"from scratch = package: error of the difference {effect.se:.4f}; by drawing persons again {again:.4f}")

# %% tags=["checks"] jupyter={"source_hidden": true}
assert abs(reach - seen) < 0.02
assert needed[0.4] < 500 < 10 * 3_500 < needed[0.02]
assert needed[0.005] < 12e6  # of the 25 million people of the published test, in each arm
assert abs(again / effect.se - 1) < 0.08  # five standard errors of 2,000 draws

# %% [markdown]
# Which error is right? In an [**A/A test**](GLOSSARY.md#a-a-test) both arms get the same lists, so every "significant" result is
# false, and a 95 % interval may be wrong in 5 % of the cases. We repeat one 250 times:

# %% tags=["from-scratch"]
wrong = {"persons": 0, "impressions": 0}
for r in range(250):
    out = online.simulate(control, control, online.Experiment(salt=f"unit {r}", seed=r))  # salt: another draw of arms
    effect = online.analyse(out, "ctr per impression")
    total = [out.shown[arm].sum() for arm in (~out.treated, out.treated)]
    coins = sum(p * (1 - p) / k for p, k in zip((effect.control, effect.treatment), total, strict=True)) ** 0.5
    wrong["persons"] += abs(effect.difference) > 1.96 * effect.se
    wrong["impressions"] += abs(effect.difference) > 1.96 * coins
for unit, k in wrong.items():
    print(
        f"unit {unit:12} {k / 250:.3f} ± {(k / 250 * (1 - k / 250) / 250) ** 0.5:.3f} false alarms   measured (250 A/A tests)"
    )

# %% tags=["checks"] jupyter={"source_hidden": true}
noise = (0.05 * 0.95 / 250) ** 0.5
assert abs(wrong["persons"] / 250 - 0.05) < 4 * noise
assert wrong["impressions"] / 250 > 0.05 + 4 * noise

# %% [markdown]
# Persons: as promised, within chance. Impressions: too many false alarms.

# %% [markdown] tags=["fault"]
# **Find the fault.** What people did before the experiment explains a part of what they buy in it, and subtracting that part makes the interval shorter
# ([CUPED](GLOSSARY.md#cuped), task 10.2). Here the treatment adds 0.5 by construction. The cell prints
# `effect of the treatment: -0.01`.

# %% tags=["fault", "nbval-check-output"]
g = np.random.default_rng(0)
arm, taste = np.arange(20_000) % 2, g.normal(size=20_000)
before, during = taste, taste + 0.5 * arm  # visits in the week before, and in the week of the experiment
bought = taste + 0.5 * arm + g.normal(size=20_000)  # the treatment adds 0.5
covariate = during
theta = np.cov(bought, covariate)[0, 1] / covariate.var(ddof=1)
adjusted = bought - theta * (covariate - covariate.mean())
print(f"effect of the treatment: {adjusted[arm == 1].mean() - adjusted[arm == 0].mean():.2f}")

# %% [markdown] tags=["fault"]
# <details><summary>Hint</summary>
#
# Whom does the treatment change? Is the covariate the same in both arms, apart from chance?
#
# </details>
#
# <details><summary>Solution</summary>
#
# Write `covariate = before`, not `covariate = during`; then it prints `effect of the treatment: 0.49`. Visits during the experiment are a
# result of the treatment. Subtracting them takes the effect away with them. A covariate must be fixed before the first day.
# One small flaw stays: θ is taken over both arms together (task 10.2 centres each arm).
#
# </details>

# %% [markdown]
# ## 10.7 Looking many times
#
# What if one stops at the first evening with $p<.05$? Again 250 A/A tests, 14 evenings
# each; each day brings new people.
#
# **A coin first.** Start with wealth 1 and bet against a fair coin: heads multiply it by 1.2, tails by .8. On average the next
# wealth is the present one, whatever happened before. Let $P$ be the probability that it *ever* reaches 20. Stop there, or after $n$ tosses: the mean is still 1 and at
# least 20 times the probability of having reached 20 by then. With $n\to\infty$, $P\le\frac1{20}$. This is **Ville's inequality**. The wealth is also the likelihood ratio of a coin with
# $P(\text{heads})=.6$ to a fair one.


# %% tags=["from-scratch"]
def ever_rich(goal, tosses=500, games=5000):
    heads = np.random.default_rng(2).random((games, tosses)) < 0.5
    wealth = np.where(heads, 1.2, 0.8).cumprod(1)  # (games, tosses)
    return (wealth.max(1) >= goal).mean()


print(f"the wealth ever reached 20 in {ever_rich(20):.1%} of 5,000 games; Ville: at most 5 %")

# %% [markdown]
# **The same for an effect.** For an effect $\delta$ the data so far have the likelihood ratio
# $\exp(\delta\hat\delta/\mathrm{se}^2 - \delta^2/2\mathrm{se}^2)$ against no effect: a wealth. A mean over several such bets, a
# *mixture*, is again a wealth with mean 1. Average over $\delta\sim\mathcal N(0, h^2)$ (complete the square; $\delta$ then has the variance $1/(1/h^2+1/\mathrm{se}^2)$):
#
# $$\Lambda = \Big(1+\frac{h^2}{\mathrm{se}^2}\Big)^{-1/2}\exp\Big(\frac{z^2}{2\,(1+\mathrm{se}^2/h^2)}\Big),
# \qquad z=\hat\delta/\mathrm{se}.$$
#
# Without an effect, and with normal data of known variance, $\Lambda$ is such a wealth. So it *ever*
# reaches $1/\alpha$ with probability at most $\alpha$. Solve $\Lambda=1/\alpha$ for $z$, and the boundary replaces 1.96
# (a mixture SPRT; Robbins 1970, Johari et al. 2017):
#
# $$z^2 = \Big(1+\frac{\mathrm{se}^2}{h^2}\Big)\,\log\frac{1+h^2/\mathrm{se}^2}{\alpha^2}.$$
#
# $h$, the spread of the effects, is set before the start: what one hopes for.


# %% tags=["from-scratch"]
def limit(se, h, alpha=0.05):
    return np.sqrt((1 + se**2 / h**2) * np.log((1 + h**2 / se**2) / alpha**2))


# %% tags=["nbval-check-output"]
for se, h in ((1.0, 0.5), (0.2, 0.5), (0.01, 0.5)):
    np.testing.assert_allclose(limit(se, h), online.boundary(se, h))
print(
    "from scratch = package; h = 0.5, z at se = 0.5, 0.2, 0.01:", *(f"{limit(se, 0.5):.2f}" for se in (0.5, 0.2, 0.01))
)

# %% tags=["checks"] jupyter={"source_hidden": true}
assert ever_rich(20) <= 0.05
for se, h in ((1.0, 0.5), (0.2, 0.5), (0.01, 0.5)):
    z = limit(se, h)  # on the boundary the averaged likelihood ratio is 1/α
    mean, sd = z / (se / h**2 + 1 / se), (1 / h**2 + 1 / se**2) ** -0.5  # where the integrand lives
    averaged = lambda d, z=z, se=se, h=h: np.exp(d * z / se - d**2 / (2 * se**2)) * stats.norm.pdf(d, scale=h)  # noqa: E731
    value, _ = integrate.quad(averaged, mean - 12 * sd, mean + 12 * sd)
    np.testing.assert_allclose(value, 1 / 0.05, rtol=1e-6)


# %% tags=["from-scratch"]
def ever_beyond(z, limits):  # (tests, days) -> fraction of tests beyond their limit on some day so far, (days,)
    return np.logical_or.accumulate(abs(z) > limits, 1).mean(0)


# %%
test = online.rehearse(control, control, online.Experiment(days=14, salt="peek"), repetitions=250)
hope = 0.3 * r0  # h: a lift of thirty per cent over the control's rate
z = test.difference / test.se  # (250, 14)
allowed = limit(test.se, hope)
curves = {"stop at the first p < .05": ever_beyond(z, 1.96), "always-valid interval": ever_beyond(z, allowed)}
print("false alarms within 14 evenings:", *(f"{name} {of[-1]:.1%}" for name, of in curves.items()), sep="   ")

# %% jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
mv.plots.looks(z[:20], allowed.mean(0), ax=left)
left.set(xlabel="day", ylabel="z in 20 A/A tests (coloured: ever beyond ±1.96)", ylim=(-5, 6))
mv.plots.lines(np.arange(1, 15), curves, colours=[mv.plots.COLOURS[k] for k in (3, 0)], ax=right)
right.axhline(0.05, color="0.5", linestyle=":", label="promised")
right.set(xlabel="evenings looked at so far", ylabel="false alarms (250 A/A tests)", ylim=(0, None))
right.legend(frameon=False)
fig.tight_layout()

# %% tags=["checks"] jupyter={"source_hidden": true}
peeking, valid = test.peeking()[0], test.always_valid(hope)[0]
np.testing.assert_allclose([peeking, valid], [of[-1] for of in curves.values()])
assert peeking > 0.05 + 4 * noise
assert peeking > 3 * 0.05
assert valid < 0.02
assert 2.8 < allowed[:, -1].mean() < 3.3 < 3.7 < allowed[:, 0].mean() < 4.3

# %% [markdown]
# **Reading.** The lists of both arms are equal, and yet one test in five (one in four with other draws) "succeeds" on some evening. By Ville's
# inequality (normal data, known variance) the always-valid interval keeps its promise for any number of looks; in these 14 it needed little of its 5 %. Its price is width:
# its $z$ falls from about 4 on the first evening to about 3 on the last, in place of 1.96 (far more data raise it again: 3.72). To reach 3 at *one* planned
# look takes nearly twice the people (10.5, with 3 for $z_{1-\alpha/2}$). But it may stop early.

# %% [markdown] tags=["explorable"]
# **Move it by hand.** Go to evening 30, draw new experiments a few times and compare the curves of false alarms. Run the cell; a viewer without scripts shows a picture.

# %% tags=["explorable"]
mv.explorable("peeking")

# %% [markdown]
# ## 10.8 The lift depends on the control
#
# Mult-VAE with anchors against four controls, five pairs of trained models, half of 7,000 people in
# each arm.

# %%
lifts = {}
for rival in ("random", "popularity", "EASE", "Mult-VAE"):
    for k in range(5):
        old = shelves[f"Mult-VAE {k}" if rival == "Mult-VAE" else rival]
        out = online.simulate(old, shelves[f"anchors {k}"], online.Experiment(salt=f"{rival} {k}", seed=k))
        lifts.setdefault(rival, []).append(online.analyse(out, "ctr per impression").lift())

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(8, 3.4))
mv.plots.lifts({f"against {rival}": found for rival, found in lifts.items()}, ax=ax)
ax.set_xlabel(
    "lift of clicks per impression, logarithmic scale of the ratio\n(bar: 95 % over persons; 5 pairs of models)"
)
fig.tight_layout()
inside, truths = 0, {}
rate = {name: out.clicks.sum() / out.shown.sum() for name, out in everybody.items()}
print("measured (5 pairs of models)   the experiments                      everybody, both lists")
for rival, found in lifts.items():
    old = [f"Mult-VAE {k}" if rival == "Mult-VAE" else rival for k in range(5)]
    truths[rival] = truth = [rate[f"anchors {k}"] / rate[name] - 1 for k, name in enumerate(old)]
    inside += sum(low < t < high for t, (_, low, high) in zip(truth, found, strict=True))
    print(f"  against {rival:11}", *(f"{lift:+5.0%}" for lift, _, _ in found), "     ", *(f"{t:+5.0%}" for t in truth))
versus = clicks["Mult-VAE 0"]
size = online.sample_size(versus.mean(), 1.02 * versus.mean(), sd=versus.std())[0]
print(f"to see a lift of 2 % against Mult-VAE 0: {size:,} persons in each arm")
below = {rival: sum(high < 0 for _, _, high in lifts[rival]) for rival in ("EASE", "Mult-VAE")}
print(f"intervals that contain the value for everybody: {inside} of 20; that lie below 0, of 5 each: {below}")

# %% tags=["checks"] jupyter={"source_hidden": true}
random, popular, ease, vae = ([low for _, low, _ in f] for f in lifts.values())
above = [max(lift for lift, _, _ in f) for f in lifts.values()]
assert min(random) > 4
assert min(popular) > 0.25
assert inside >= 16
assert lifts["random"][2][1] > truths["random"][2]  # the one that misses
assert max(above[2:]) < 0.1
assert 6 < np.mean(truths["random"]) < 8
assert 0.4 < np.mean(truths["popularity"]) < 0.5
assert max(truths["EASE"]) < 0
assert np.abs(truths["Mult-VAE"]).max() < 0.04
assert min(truths["EASE"]) > -0.08

# %% [markdown]
# **Reading.** The same treatment wins nearly 700 %, or some 47 %, or nothing, or loses a little to EASE (last column: −3 to −6 %; one experiment of five says so). One
# interval of 20 misses that column (over +800 %). The lift
# is a statement about *two* recommenders. So +267 % against "a weak statistical baseline" says that these lists beat
# weak ones; it cannot say what PIA adds to a plain VAE. Against Mult-VAE the lift
# with everybody in both arms (one run) is within a few
# per cent of zero, and 3,500 people in an arm cannot see that (2 % of clicks per person takes some 80,000). A tiny $p$-value ($p=0.000$ [S]) is no answer: twelve million people in an arm would see a lift of half a per cent as well, with our pilot's spread (10.5).
#
# **What the simulation leaves out.** People get used to things; they talk, and come back; clicks feed the next model; a click is not satisfaction.
#
# ## 10.9 Recap
#
# * Plan the size, randomise persons, count errors over persons, and look once, or with an always-valid interval.
# * Compare offline and online on the same, and on enough, people: 500 and one fold seldom told EASE and
#   Mult-VAE apart, 7,000 and five folds in all five cases.
# * Ask of every published lift: against which control?

# %% [markdown]
# ## 10.10 Exercises
#
# `minivae course --out my_work` makes copies with empty cells.
#
# **★ (10 min) Task 10.1.** `click_probability(a, go_on, after_click)`: the tensor `a` (B, K) holds the probability
# of a click at each rank *if looked at*. Return the probability of a click at each rank, (B, K), without a loop over
# ranks.


# %% tags=["solution"] jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "click-probability", "locked": false, "schema_version": 3, "solution": true, "task": false}
def click_probability(a, go_on, after_click):
    ### BEGIN SOLUTION
    onward = go_on * (1 - a + a * after_click)  # (B, K) from one rank to the next
    looks = torch.cat([torch.ones_like(a[:, :1]), onward[:, :-1].cumprod(1)], 1)  # (B, K)
    return looks * a
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "click-probability-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
mv.checks.check_click_probability(click_probability)

# %% [markdown]
# **★★ (25 min) Task 10.2.** People differ, and part of it was known before the experiment. [**CUPED**](GLOSSARY.md#cuped) takes it away:
# replace $c_u$ by $c_u - \theta\,(b_u - \bar b)$, $b_u$ the clicks *before*, $\bar b$ their mean over all. Given
# `clicks`, `before` (U,) and `treated` (U,) bool, return a tensor (2,): the difference of the two means and its standard
# error (variances with $n-1$). Use $\theta = \sum (b-\bar b_{arm})(c-\bar c_{arm}) / \sum (b-\bar b_{arm})^2$ over all
# persons, each centred in their own arm. Why in their own arm? And why may $b$ not be measured *during* the experiment?
#
# <details><summary>Solution</summary>
#
# Centred over both arms together, the sum over $(b-\bar b)(c-\bar c)$ would also hold the difference of the arms' $b$ times that of
# their $c$, and so the treatment effect itself: $\theta$ would depend on what it is to correct. And a $b$ from the time of the
# experiment is a result of the treatment (the fault of 10.6).
#
# </details>


# %% tags=["solution"] jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "cuped", "locked": false, "schema_version": 3, "solution": true, "task": false}
def cuped(clicks, before, treated):
    ### BEGIN SOLUTION
    arms = [~treated, treated]
    c = [clicks[arm] - clicks[arm].mean() for arm in arms]
    b = [before[arm] - before[arm].mean() for arm in arms]
    theta = sum(x @ y for x, y in zip(b, c, strict=True)) / sum(x @ x for x in b)
    adjusted = clicks - theta * (before - before.mean())
    low, high = (adjusted[arm] for arm in arms)
    return torch.stack([high.mean() - low.mean(), (low.var() / len(low) + high.var() / len(high)).sqrt()])
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "cuped-check", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
mv.checks.check_cuped(cuped)

# %% [markdown]
# **★★★ (open) Task 10.3.** When may one stop? `first_success(difference, se, scale)`: for experiments (R, days) return
# the index of the first look at which the always-valid 95 % interval excludes 0, and −1 where none does, (R,); `scale` is the
# $h$ of 10.7. Then investigate with `online.rehearse` (popularity against Mult-VAE; `shelves["popularity"][:600]` are the lists
# of 600 people): how many days does it save against waiting for the planned size, how many does it cost when the effect is
# small, and what does a wrong `scale` cost? Is the *estimate* at such a stop unbiased?


# %% tags=["solution"] jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "first-success", "locked": false, "schema_version": 3, "solution": true, "task": false}
def first_success(difference, se, scale):
    ### BEGIN SOLUTION
    known = (scale / se) ** 2  # (R, days)
    limit = ((1 + 1 / known) * torch.log((1 + known) / 0.05**2)).sqrt()
    beyond = difference.abs() > limit * se
    return torch.where(beyond.any(1), beyond.int().argmax(1), -1)
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "first-success-check", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
mv.checks.check_first_success(first_success)

# %% [markdown] tags=["investigation"]
# <details><summary>Solution</summary>
#
# **One investigation** (`python chapters/investigate.py 10`; popularity against one Mult-VAE, about the lift of 10.8, 14 days, 100 repetitions
# each). With 2,000 people and a hoped-for lift of 50 % ($h$ = half of the control's rate) every experiment stops, at the median on day 3; the size that 10.5 plans for this lift, some 400 people (for clicks a person, power .7; the looks are at clicks per impression), is there by that day: half of the experiments or more stop no earlier and save nothing. With 600 people 84 % stop, half of these by day 7, where the planned size comes on day 10; the other
# 16 % have no result after 14 days. With fewer people for the same effect, 200, it is 25 % that stop. A smaller effect, which the task asks for, was not run.
# *A wrong scale*: with a hope of 10 % and 200 people
# nobody stops, with 600 37 %, with 2,000 the median is day 6; with a hope of 200 %, 22 %, 72 % and day 4. The estimate of those that stop is *biased upwards*: in the mean 1.2 times the truth (that of all 7,000) with 2,000 people, 1.5 times with
# 600, 2.1 times with 200 (hope 50 %). A guess at the reason: one stops when chance is kind. Report the always-valid interval, not the point.
#
# </details>
