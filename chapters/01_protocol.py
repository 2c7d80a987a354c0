# %% [markdown]
# # 1. What is a fair benchmark?
# **Study** 100 min · **runs** 14 CPU seconds (14 s when it was built), 0.6 GB on 1 core · **needs** [chapter 00](00_quickstart.ipynb), linear algebra, [standard errors](GLOSSARY.md#standard-error)
#
# **You will be able to** (1) say which question an evaluation answers, and split data for it, (2) compute
# [Recall@k](GLOSSARY.md#recall-k) and [nDCG@k](GLOSSARY.md#ndcg-k) by hand, (3) derive [EASE](GLOSSARY.md#ease), a strong linear
# baseline, (4) compare two models user by user, and say what that leaves open, (5) list what a paper must say before
# its numbers may stand beside yours. [Glossary](GLOSSARY.md).
#
# ## 1.1 Question
#
# Two papers tested the same two recommenders on the same two data sets, and both printed "Recall@20".

# %% tags=["setup"]
import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp
import torch

import minivae as mv

mv.plots.course_style()

# %% tags=["figure"] jupyter={"source_hidden": true}
published = {  # Recall@20; [V] and [S]: see below
    "MovieLens-20M": {"Mult-VAE": (0.39535, 0.3540), "SLIM": (0.370, 0.3349)},  # paper 1: [V] notebook, [S]
    "Netflix": {"Mult-VAE": (0.351, 0.2626), "SLIM": (0.347, 0.2551)},  # paper 1: [S], [S];  paper 2: all [V]
}
fig, axes = plt.subplots(1, 2, figsize=(8, 2.2), sharex=True, sharey=True)
for ax, (name, models) in zip(axes, published.items(), strict=True):
    for y, (a, b) in enumerate(models.values()):
        ax.plot([a, b], [y, y], color="0.7", zorder=0)
        ax.scatter(a, y, marker="o", s=70, color=mv.plots.COLOURS[0], label="paper 1" if y == 0 else None)
        ax.scatter(b, y, marker="s", s=60, color=mv.plots.COLOURS[1], label="paper 2" if y == 0 else None)
    ax.set(title=name, xlabel="Recall@20, as published", yticks=[0, 1], yticklabels=list(models), ylim=(-0.6, 1.6))
    ax.set_xticks([0.26, 0.30, 0.34, 0.38])
axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# Paper 1 is Liang et al. (2018); paper 2 is Ferrari Dacrema et al. (2019), who repeated the experiment. Beside every published figure of this course
# stands an [**evidence tag**](GLOSSARY.md#evidence-tag): [V], read in a primary file (paper, notebook, source code), or [S], read in a secondary text.
# Here [V] are the [Mult-VAE](GLOSSARY.md#mult-vae) of paper 1 on MovieLens-20M and all of paper 2, [S] the other three. SLIM is a linear model, an ancestor of EASE (1.5). In each paper Mult-VAE is ahead.
# But put the SLIM of paper 1 beside the Mult-VAE of paper 2, as a table collected from papers does, and SLIM wins twice.
#
# **Predict.** What may differ: the model, the data, the users, the formula? Which of them can move a figure by .035 to .09?
#
# ## 1.2 The data

# %%
data = mv.planted(n_users=3_000, n_items=600, n_events=240_000, seed=0)
activity = np.diff(data.matrix.indptr)
print(data)
print("items of a user: least, median, most:", activity.min(), int(np.median(activity)), activity.max())

# %% [markdown]
# ## 1.3 Two ways to split, two questions
#
# * **Weak generalization**: hide a fifth of each user's items, rounded down, train on the rest. *How well do we serve customers we know?*
# * [**Strong generalization**](GLOSSARY.md#strong-generalization): train on some users, evaluate with others. A new user shows a [**history**](GLOSSARY.md#history), from
#   which the model computes [scores](GLOSSARY.md#score) at once, without training ([**fold-in**](GLOSSARY.md#fold-in)); it must find the **held-out** rest.
#   *How well do we serve new people?*

# %% tags=["figure"] jupyter={"source_hidden": true}
draw = np.random.default_rng(1)
cells = np.argwhere(draw.random((9, 16)) < 0.45)
hidden = np.zeros(len(cells), bool)
for u in range(9):  # a fifth of a user's items, rounded down
    of_user = np.flatnonzero(cells[:, 0] == u)
    hidden[draw.choice(of_user, len(of_user) // 5, replace=False)] = True
exam = cells[:, 0] >= 6
roles = {"weak": np.where(hidden, 2, 0), "strong": np.where(exam, 1 + hidden, 0)}
looks = [("training", "o"), ("history (fold-in)", "s"), ("held out", "*")]
fig, axes = plt.subplots(1, 2, figsize=(8.5, 2.8), sharey=True)
for ax, (name, role) in zip(axes, roles.items(), strict=True):
    for k, (label, marker) in enumerate(looks):
        y, x = cells[role == k].T
        ax.scatter(x, y, marker=marker, s=70 if k == 2 else 34, color=mv.plots.COLOURS[(0, 2, 3)[k]], label=label)
    ax.set(title=f"{name} generalization", xlabel="item", xticks=[], yticks=[])
axes[0].set_ylabel("user")
axes[0].invert_yaxis()
axes[1].axhline(5.5, color="0.5", linestyle="--", linewidth=1)
axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# Take a simple collaborative model, the truncated SVD: of the matrix $X$ of the
# training users keep the $R$ directions of the item space in which it extends most, the columns of $V$, (items, $R$), so
# that $X \approx XVV^\top$. A user with the history $x$ gets the scores $xVV^\top$. We evaluate it on the same 500 users twice. Both times 2,000 others train with all their items (in the picture on the right: the upper six). The other 500 training rows are the histories of the evaluated users (weak), or of the 500 validation users (strong).


# %% tags=["from-scratch"]
class SVD:
    def __init__(self, v):
        self.v = v  # (items, R)

    def score(self, history):
        return torch.tensor((history @ self.v) @ self.v.T)  # (users, items)


def directions(x):
    return np.linalg.eigh((x.T @ x).toarray())[1][
        :, ::-1
    ]  # (items, items) right singular vectors of x, the largest first


# %%
ranks = [2, 4, 8, 16, 32, 64, 128]
splits = [mv.strong_split(data, n_heldout=500, seed=seed) for seed in range(5)]
scores = {"weak": [], "strong": []}
for split in splits:
    for kind, others in {"weak": split.test, "strong": split.validation}.items():
        v = directions(sp.vstack([split.train, others.history]).astype(np.float64))
        scores[kind].append([mv.evaluate(SVD(v[:, :r]), split.test, ["ndcg@100"])["ndcg@100"][0] for r in ranks])

fig, ax = plt.subplots(figsize=(6.5, 3))
trained = {"weak": "their histories", "strong": "others' histories"}
ax = mv.plots.lines(
    ranks, {f"{kind}: {whose} trained on": np.array(scores[kind]) for kind, whose in trained.items()}, ax=ax
)
ax.set_xscale("log", base=2)
ax.set(xlabel="rank R of the SVD", xticks=ranks, xticklabels=ranks, ylabel="nDCG@100")
ax.legend(title="mean and range of 5 draws")
plt.show()

# %% tags=["checks", "nbval-check-output"] jupyter={"source_hidden": true}
gap = np.array(scores["strong"]) - np.array(scores["weak"])  # (5, ranks)
assert (gap[:, ranks.index(64) :] > 0).all()
assert np.abs(gap[:, : ranks.index(16) + 1]).max() < 0.003 < 0.015 < gap[:, ranks.index(64) :].min()
assert 0.007 < gap[:, ranks.index(32)].mean() < 0.01
assert int(np.median(activity)) == 56
assert activity.max() == 240
for k in (16, 32, 64):
    of = gap[:, ranks.index(k)]
    print(f"strong − weak at rank {k}: {of.mean():+.3f} [{of.min():+.2f}, {of.max():+.2f}] (5 draws)")
print("from rank 64 on, weak scores are below strong ones, in all 5 draws:", True)

# %% [markdown]
# **Reading.** On this population the two agree within .003 up to rank 16, at rank 32 they begin to part, and from rank 64 on the weak score is *lower*, by more than .015 in every draw. (A guess, not tested: a model of high rank remembers single rows, and there the hidden items stood as **zeros**.)
# This course, like the paper, uses strong generalization.
#
# ## 1.4 The protocol of Liang et al.
#
# 1. Drop items with fewer than `min_item` users, *then* users with fewer than `min_user` items. Each filter once.
# 2. Shuffle the sorted users. The last `n_heldout` of them are for the **test**, as many before them for **validation**;
#    the others are for training, with all their items.
# 3. The vocabulary is what the *training* users took. Other items of the held-out users are dropped.
# 4. Of a user in these two groups, one fifth of the items left, rounded down and drawn at random, is [held out](GLOSSARY.md#held-out).
#
# A detail done otherwise can give another split. The generator is reseeded for each group.


# %% tags=["from-scratch"]
def groups_of(user, item, n_heldout, seed, min_user, min_item):
    keep = np.bincount(item)[item] >= min_item
    user, item = user[keep], item[keep]
    users = np.flatnonzero(np.bincount(user) >= min_user)  # sorted
    users = users[np.random.RandomState(seed).permutation(len(users))]
    train, *groups = np.split(users, [-2 * n_heldout, -n_heldout])
    known, first = np.unique(item[np.isin(user, train)], return_index=True)
    return train, groups, known[first.argsort()]  # the vocabulary in order of first appearance


# %% tags=["from-scratch"]
def fold_in(user, item, group, vocabulary, seed):
    rng = np.random.RandomState(seed)  # the same again for each group
    history, heldout = {}, {}
    for u in np.sort(group):
        items = item[user == u]  # in the order of the file
        items = items[np.isin(items, vocabulary)]
        hide = np.zeros(len(items), bool)
        if len(items) >= 5:
            hide[rng.choice(len(items), int(0.2 * len(items)), replace=False)] = True
        history[u], heldout[u] = set(items[~hide]), set(items[hide])
    return history, heldout


# %% tags=["nbval-check-output"]
for seed, min_user, min_item in [(98765, 5, 0), (1, 20, 60)]:
    split = mv.strong_split(data, n_heldout=200, seed=seed, min_user=min_user, min_item=min_item)
    train, groups, vocabulary = groups_of(data.user, data.item, 200, seed, min_user, min_item)
    np.testing.assert_array_equal(split.item_labels, vocabulary)
    np.testing.assert_array_equal(split.train_labels, train)
    for part, group in zip((split.validation, split.test), groups, strict=True):
        history, heldout = fold_in(data.user, data.item, group, vocabulary, seed)
        for row, u in enumerate(part.user_labels):
            assert set(vocabulary[part.history[row].indices]) == history[u]
            assert set(vocabulary[part.heldout[row].indices]) == heldout[u]
print("from scratch = mv.strong_split, user by user, for both settings:", True)

# %% [markdown]
# ## 1.5 Rivals
#
# [**Popularity**](GLOSSARY.md#popularity) gives every item its number of training users, for everybody the same list. **EASE** (Steck, 2019)
# scores linearly, $\hat x = xB$, with a small squared error on the training matrix $X$ and small weights, and no item may predict
# itself:
#
# $$\min_B \|X-XB\|^2 + \lambda\|B\|^2 \quad\text{such that } B_{jj}=0 \text{ for all } j.$$
#
# Without the constraint and with $\lambda=0$ the matrix $B=I$ would be perfect, and useless. *Derivation.* Give each constraint a multiplier $2\gamma_j$
# and set half of the derivative to zero, with $G=X^\top X$ and $P=(G+\lambda I)^{-1}$:
#
# $$(G+\lambda I)B - G + \mathrm{diag}\,\gamma = 0 \;\Rightarrow\;
# B = P\,(P^{-1}-\lambda I-\mathrm{diag}\,\gamma) = I - P\,(\lambda I+\mathrm{diag}\,\gamma).$$
#
# The diagonal must vanish: $1 = P_{jj}(\lambda+\gamma_j)$. So $B_{ij} = -P_{ij}/P_{jj}$ for $i\ne j$. (Convex objective, linear constraints: a minimum.) $\blacksquare$ In the code $\lambda$ is `l2`.


# %% tags=["from-scratch"]
def ease(x, l2):
    gram = x.T @ x  # (items, items)
    p = np.linalg.inv(gram + l2 * np.eye(len(gram)))
    b = -p / np.diag(p)  # column j is divided by P_jj
    np.fill_diagonal(b, 0)
    return b


# %% tags=["nbval-check-output"]
x = splits[0].train.toarray().astype(np.float64)
b = ease(x, 300.0)
model = mv.EASE(l2=300.0).fit(splits[0].train)
torch.testing.assert_close(model.weights, torch.tensor(b, dtype=torch.float32), atol=1e-5, rtol=1e-3)
slope = x.T @ (x @ b - x) + 300 * b  # half the derivative of what is minimised
np.testing.assert_allclose(slope - np.diag(np.diag(slope)), 0, atol=1e-8)
counts = torch.tensor(x.sum(0), dtype=torch.float32)
torch.testing.assert_close(mv.Popularity().fit(splits[0].train).counts, counts)
print("EASE: formula = package, and no entry off the diagonal can be improved:", True)

# %% [markdown]
# ## 1.6 Two metrics, by hand
#
# Rank all items that are not in the history. A *hit* is a held-out item, $\text{hit}_r$ is 1 if rank $r$ has one and else 0; $n$ items of the user are held out.
#
# $$\text{Recall@}k = \frac{\text{hits in the first } k}{\min(k,n)}, \qquad
# \text{nDCG@}k = \frac{\sum_{r\le k} \text{hit}_r/\log_2(r+1)}{\sum_{r\le\min(k,n)} 1/\log_2(r+1)} .$$
#
# Take $n=3$ and hits at ranks 1, 3 and 7. Recall@5 is $\frac23$. The [gains](GLOSSARY.md#gain) of the ranks are
# $1,\ .63,\ \frac12,\ .43,\ .39,\ .36,\ \frac13$. So nDCG@5 $=(1+\frac12)/(1+.63+\frac12) = .70$, and nDCG@7
# $= (1+\frac12+\frac13)/2.13 = .86$. The best sum stops at $\min(k,n)$, so that 1 can be reached.


# %% tags=["from-scratch"]
def hits_by_rank(scores, history, heldout):
    scores = scores.masked_fill(history > 0, -torch.inf)  # (U, I)
    return heldout.gather(1, scores.argsort(dim=1, descending=True, stable=True))  # (U, I) ones and zeros


def recall(hits, n, k):
    return hits[:, :k].sum(1) / n.clamp(max=k)


def ndcg(hits, n, k):
    gain = 1 / torch.log2(torch.arange(hits.shape[1], dtype=torch.float64) + 2)  # ranks 1, 2, ...
    best = gain.cumsum(0)[n.clamp(max=k) - 1]
    return hits[:, :k] @ gain[:k] / best


# %% tags=["nbval-check-output"]
example, three = torch.tensor([[1.0, 0, 1, 0, 0, 0, 1, 0]], dtype=torch.float64), torch.tensor([3])
print(f"by hand: {recall(example, three, 5)[0]:.2f} {ndcg(example, three, 5)[0]:.2f} {ndcg(example, three, 7)[0]:.2f}")
test = splits[0].test
history, heldout = (torch.tensor(m.toarray(), dtype=torch.float64) for m in (test.history, test.heldout))
n = heldout.sum(1).long()
hits = hits_by_rank(model.score(test.history), history, heldout)
result = mv.evaluate(model, test)
np.testing.assert_allclose(result.per_user["recall@20"], recall(hits, n, 20))
np.testing.assert_allclose(result.per_user["ndcg@100"], ndcg(hits, n, 100))
print("from scratch = mv.evaluate, for all 500 users:", True)

# %% [markdown] tags=["explorable"]
# **Move it by hand.** Two models, two users ($k=10$; at the start A has 1 of 2 and 7 of $n$ hits, B 2 of 2 and 1 of $n$). Raise $n$ of the heavy user: when does another model win, and by which recall? Drag a hit from rank 9 to rank 3: only nDCG
# notices, as long as both ranks are within $k$. Run the cell; a viewer without scripts shows a picture.
#
# <details><summary>Solution</summary>
#
# By hits$/n$ the means are $\frac12(\frac12+\frac7n)$ and $\frac12(1+\frac1n)$: B wins from $n=13$ on.
# With $\min(k,n)$ nothing changes for $n>10$, and A stays ahead, $.60$ to $.55$.
#
# </details>

# %% tags=["explorable"]
mv.explorable("recall-and-ndcg")

# %% [markdown]
# ## 1.7 Many metrics with one name
#
# **Predict.** On this data, 27 % of the test users have more than 20 held-out items. How far does Recall@20 fall if we
# divide by $n$ instead of $\min(20, n)$? And will another model win?
#
# A table may print each of these as Recall or nDCG:


# %% tags=["from-scratch"]
def hits_among(scores, taken, heldout, seed=0):  # the held-out items of a user compete with 100 random items only
    lots = torch.rand(scores.shape, generator=torch.Generator().manual_seed(seed)).masked_fill(taken > 0, 2)
    drawn = lots <= lots.kthvalue(100, 1, keepdim=True).values  # 100 items that were not taken: taken ones have 2
    return hits_by_rank(scores, 1 - heldout - drawn.double(), heldout)  # all others are left out, like a history


# %% tags=["from-scratch"]
def variants(model, part):
    history, heldout = (torch.tensor(m.toarray(), dtype=torch.float64) for m in (part.history, part.heldout))
    n, scores = heldout.sum(1).long(), model.score(part.history).double()
    hits, few = hits_by_rank(scores, history, heldout), hits_among(scores, heldout + history, heldout)
    return {
        "Recall@20, min(k, n)": recall(hits, n, 20),
        "Recall@20, n": hits[:, :20].sum(1) / n,
        "Recall@20, 100 sampled": recall(few, n, 20),
        "nDCG@100": ndcg(hits, n, 100),
        "nDCG without a cut": ndcg(hits, n, hits.shape[1]),
        "nDCG@100, history left in": ndcg(hits_by_rank(scores, 0 * history, heldout), n, 100),
    }


# %%
models = {
    "popularity": mv.Popularity().fit(splits[0].train),
    "SVD, rank 16": SVD(directions(splits[0].train)[:, :16]),
    "EASE": model,
}
measured = {name: variants(m, test) for name, m in models.items()}
print(f"{'measured (1 draw of users)':26}", *(f"{name:>12}" for name in models))
for metric in measured["EASE"]:
    print(f"{metric:26}", *(f"{float(values[metric].mean()):12.3f}" for values in measured.values()))

# %% [markdown]
# **Reading.** With the history left in, nDCG@100 is .15 to .30 lower: known items then take nine to fourteen of the first 20 ranks on average. In *sampled* ranking the held-out items compete with 100 others
# instead of all, so Recall@20 cannot fall. *Without a cut* late hits count. The denominator alone takes .05 to .09 off (five draws of this
# [planted](GLOSSARY.md#planted) data). In 1.1 paper 1 divides by $\min(k,n)$, paper 2 by $n$ [V], and their figures differ by .035 to .09: on *our* data the formula moves a figure as far. How much of *their* difference it is we cannot say: paper 2 also trained anew.
#
# All six metrics rank these models alike on this draw. (On the other four, next cell, popularity stays last, and the SVD is before EASE in a few of 24 cases.) And with *two* in one table the order turns: EASE by $n$ (.502) falls below
# the SVD by $\min(k,n)$ (.582). So the rule is: **one code ranks all models**, here `mv.evaluate`.

# %% tags=["checks", "nbval-check-output"] jupyter={"source_hidden": true}
falls = {name: v["Recall@20, min(k, n)"] - v["Recall@20, n"] for name, v in measured.items()}
assert all((d >= 0).all() for d in falls.values())
assert ((falls["EASE"] == 0) == ((n <= 20) | (hits[:, :20].sum(1) == 0))).all()
assert all(0.06 < float(d.mean()) < 0.09 for d in falls.values())
assert abs(float((n > 20).double().mean()) - 0.27) < 0.005
ordered = [[float(v[metric].mean()) for v in measured.values()] for metric in measured["EASE"]]
assert all(popular < svd < linear for popular, svd, linear in ordered)
assert float(measured["EASE"]["Recall@20, n"].mean()) < float(measured["SVD, rank 16"]["Recall@20, min(k, n)"].mean())
left_in = [float((v["nDCG@100"] - v["nDCG@100, history left in"]).mean()) for v in measured.values()]
assert [f"{drop:.2f}" for drop in (min(left_in), max(left_in))] == ["0.15", "0.30"]
known_first = {
    name: history.gather(1, m.score(test.history).topk(20).indices).sum(1).mean() for name, m in models.items()
}
assert min(known_first.values()) > 8.5  # nine
assert max(known_first.values()) < 14  # to fourteen of 20
again = []  # (4, models, metrics): the other draws
for split in splits[1:]:
    rivals = (mv.Popularity(), mv.EASE(300.0))
    popular, linear = (m.fit(split.train) for m in rivals)
    svd = SVD(directions(split.train)[:, :16])
    again.append([[float(v.mean()) for v in variants(m, split.test).values()] for m in (popular, svd, linear)])
again = np.array(again)
off = again[:, :, 0] - again[:, :, 1]
assert (again[:, 0] < again[:, 1:].min(1)).all()  # popularity last
turned = again[:, 1] > again[:, 2]  # (4, 6): the SVD before EASE
assert 1 <= turned.sum() <= 6
this = [float(d.mean()) for d in falls.values()]
assert [f"{min(off.min(), *this):.2f}", f"{max(off.max(), *this):.2f}"] == ["0.05", "0.09"]
print("history left in, known items among the first 20:", *(f"{name} {m:.1f}" for name, m in known_first.items()))
print(
    f"the other four draws: dividing by n takes {off.min():.2f} to {off.max():.2f} off; the SVD is before EASE in a few of 24"
)
print("dividing by n never raises a score, and leaves those with n <= 20 alone:", True)
print("all six metrics put popularity behind the SVD, and the SVD behind EASE:", True)

# %% [markdown]
# ## 1.8 The score of a model that knows nothing
#
# A model gives score 0 to every item. All are tied, and the code must rank them somehow:

# %%
arrange = {
    "random": torch.rand(600, generator=torch.Generator().manual_seed(0)),
    "by column": -torch.arange(600.0),
    "by column, backwards": torch.arange(600.0),
}
constant = {
    name: float(ndcg(hits_by_rank(order.expand(500, -1).clone(), history, heldout), n, 100).mean())
    for name, order in arrange.items()
}


class Constant:
    def score(self, history):
        return torch.zeros(history.shape)


constant["by mv.evaluate"] = mv.evaluate(Constant(), test, ["ndcg@100"])["ndcg@100"][0]
for name, value in constant.items():
    print(f"ties broken {name:22} nDCG@100 {value:.2f}   measured (1 draw of users)")
early = np.corrcoef(np.arange(600), counts.argsort(stable=True).argsort())[0, 1]
print(f"rank correlation of an item's column and its number of training users: {early:.2f}")

# %% tags=["checks", "nbval-check-output"] jupyter={"source_hidden": true}
assert early < -0.7
assert constant["by mv.evaluate"] < constant["random"]
assert constant["by column"] > 2 * constant["random"] > 2 * constant["by column, backwards"]
print("the order of the columns is worth more than twice a random list:", True)

# %% [markdown]
# Columns stand in the order of first appearance, and popular items appear early: a poor popularity list. `mv.evaluate` leaves ties to `torch.topk`: no rule to rely on (here below random).
#
# ## 1.9 Users, draws, and the difference that counts
#
# A mean over $U$ users has a [**standard error**](GLOSSARY.md#standard-error) $s/\sqrt U$, where $s$ is the standard deviation over users. (A user with nothing held
# out has $0/0$, NaN: leave it out of the mean *and* of $U$.) Subtract *user by user*: `mv.compare` gives the mean difference with a 95 % interval.
#
# **Predict.** Here are EASE and an SVD of rank 8 on five draws of 500 test users (of the same 3,000, so draws overlap). Their separate error bars overlap. Does it follow that we cannot
# tell them apart? And what is left if the rank is chosen on the validation users?


# %% tags=["from-scratch"]
def best_on_validation(candidates, split):
    return max(candidates, key=lambda m: mv.evaluate(m, split.validation, ["ndcg@100"])["ndcg@100"][0])


def paired(results, others):  # mean, standard error and 95 % interval of each draw, (5, 4)
    return np.array([mv.compare(a, b)["ndcg@100"] for a, b in zip(results, others, strict=True)])


# %%
results = {"EASE, λ chosen": [], "SVD, rank 8": [], "SVD, rank chosen": []}
choices = []
for split in splits:
    v = directions(split.train)
    linear = best_on_validation([mv.EASE(l2).fit(split.train) for l2 in (100.0, 300.0, 1000.0, 3000.0)], split)
    svd = best_on_validation([SVD(v[:, :rank]) for rank in ranks], split)
    choices.append((linear.l2, svd.v.shape[1]))
    for name, m in zip(results, (linear, SVD(v[:, :8]), svd), strict=True):
        results[name].append(mv.evaluate(m, split.test))
ease_results, *rivals = results.values()
untuned, tuned = (paired(ease_results, rival) for rival in rivals)
alone = np.array([[r["ndcg@100"] for r in rs] for rs in results.values()])  # (3, 5, 2) mean and standard error
ratio = np.hypot(alone[0, :, 1], alone[1, :, 1]) / untuned[:, 1]
twenty = np.ptp([r["recall@20"][0] for r in ease_results])
print(
    f"EASE, highest draw minus lowest:               {np.ptp(alone[0, :, 0]):.3f} (Recall@20: {twenty:.3f})   measured (5 draws)"
)
print(f"EASE − SVD of rank 8 on the same users:        {untuned[:, 0].min():+.3f} to {untuned[:, 0].max():+.3f}")
print(f"  its standard error, unpaired / paired:       {ratio.min():.1f} to {ratio.max():.1f}")
print(f"  draws whose interval excludes 0:             {int((untuned[:, 2] > 0).sum())} of 5")
print(f"chosen on validation users (λ, rank):          {choices}")
print(f"EASE − SVD of the chosen rank:                 {tuned[:, 0].min():+.3f} to {tuned[:, 0].max():+.3f}")
print(f"  draws whose interval excludes 0:             {int((tuned[:, 2] > 0).sum())} of 5")

# %% tags=["figure"] jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2))
for k, (name, marker) in enumerate(zip(results, "osD", strict=True)):
    mean, se = alone[k].T
    at, colour = np.arange(5) + 0.16 * k, mv.plots.COLOURS[k]
    left.errorbar(at, mean, 1.96 * se, fmt=marker, capsize=3, color=colour, label=name)
    if k:
        d = (untuned, tuned)[k - 1]
        right.errorbar(at, d[:, 0], [d[:, 0] - d[:, 2], d[:, 3] - d[:, 0]], fmt=marker, capsize=3, color=colour)
left.set(xlabel="draw of test users", ylabel="nDCG@100", title="each alone (bars: 95 %)", xticks=range(5))
left.legend(loc="lower left", fontsize=8)
right.axhline(0, color="0.5", linestyle="--", linewidth=1)
right.set(
    xlabel="draw of test users",
    ylabel="nDCG@100, EASE − SVD",
    title="paired, user by user (bars: 95 %)",
    xticks=range(5),
)
plt.show()

# %% tags=["checks", "nbval-check-output"] jupyter={"source_hidden": true}
assert np.ptp(alone[0, :, 0]) > untuned[:, 0].max()
assert f"{twenty:.2f}" == "0.03"
assert ratio.min() > 3.55
assert ratio.max() < 4.35
assert [round(r**2) for r in (ratio.min(), ratio.max())] == [13, 18]  # as many times the users
assert (untuned[:, 2] > 0).all()
assert (untuned[:, 0] < 1.96 * alone[:2, :, 1].sum(0)).all()
assert alone[0, 3, 0] < np.delete(alone[1, :, 0], 3).min()
assert (tuned[:, 0] > 0).all()
assert (3 * tuned[:, 0] < untuned[:, 0]).all()
assert (tuned[:, 2] > 0).sum() == 3
assert {rank for _, rank in choices} == {16}
assert {l2 for l2, _ in choices} <= {300.0, 1000.0}  # inside the grid
print("EASE differs more between two draws than from the SVD of rank 8 in any draw:", True)
print("the separate bars overlap in every draw; the paired interval excludes 0 for rank 8:", True)
print("against the chosen rank less than a third of the difference is left, in all five draws:", True)

# %% [markdown]
# **Reading.** EASE on draw 3 scores below the SVD of rank 8 on any other draw: compared across
# draws, the order is reversed. Inside one the bars overlap, but the [paired](GLOSSARY.md#paired) interval excludes 0 each
# time. Its error is 3.6 to 4.3 times smaller, for nDCG@100: worth 13 to 18 times the users.
#
# But *what* does it show? Nobody chose rank 8. With the rank chosen on validation users, 16 each time, less than a third of the difference is
# left, and the interval excludes 0 in 3 of the 5 draws. So here, on these two grids, most of it was the distance to an untuned rival: pairing makes a difference
# visible, not fair.

# %% [markdown] tags=["fault"]
# **Find the fault.** The first 200 test users and the other 200 have the same model, EASE. How far do their means lie apart? The cell
# prints `the means of the two halves differ by 8.8 standard errors`. For two groups drawn by chance more than 3 is already
# rare.

# %% tags=["fault", "nbval-check-output"]
part = mv.strong_split(mv.planted(n_users=1_500, n_items=200, n_events=30_000, seed=0), n_heldout=400)
values = mv.evaluate(mv.EASE(l2=200.0).fit(part.train), part.test, ["ndcg@100"]).per_user["ndcg@100"]  # (400,)
halves = values.reshape(2, 200)  # two groups of users, drawn by chance


def standard_error(values):
    return values.std(ddof=1) / len(values)


difference = abs(halves[0].mean() - halves[1].mean())
error = np.hypot(standard_error(halves[0]), standard_error(halves[1]))
print(f"the means of the two halves differ by {difference / error:.1f} standard errors")

# %% [markdown] tags=["fault"]
# <details><summary>Hint</summary>
#
# Take four times as many users. By how much should a standard error fall, and by how much does this one?
#
# </details>
#
# <details><summary>Solution</summary>
#
# Write `len(values) ** 0.5`, not `len(values)`; then it prints `the means of the two halves differ by 0.6 standard errors`. The standard deviation $s$ is divided by
# $\sqrt U$. Divided by $U$ the error is $\sqrt U$ times too small, here 14 times, and chance looks like a difference.
#
# </details>

# %% [markdown]
# ## 1.10 Choose on one group, report on another
#
# Here are 20 EASE models, each on a random 80 % of the training users, and made equally good: from
# the nDCGs of each we subtract its mean over all 1,000 held-out users, who stand for the population. Draw $m$ users and choose the model that is best on them. How far above the mean of all 20 does it lie on these users, and how far on a second draw of $m$ users?
#
# The largest of 20 independent normal numbers is expected 1.87 standard deviations above their mean. So if the 20 means over users behave like such numbers, the lead is about
# $1.87\,s_d/\sqrt m$, where $s_d$ is the standard deviation over users of a model's difference from the mean of all. (Each number is part of that mean; if they are independent, $s_d$ is 2.5 % below the standard deviation of one.)


# %% tags=["from-scratch"]
def lead_of_the_winner(each, m, draw):
    those, second = draw.integers(1000, size=(2, m))  # two draws of users, each with replacement from the population
    chosen, fresh = each[:, those].mean(1), each[:, second].mean(1)  # (20,)
    winner = chosen.argmax()
    return chosen[winner] - chosen.mean(), fresh[winner] - fresh.mean()


# %%
draw = np.random.default_rng(0)
n_train = splits[0].train.shape[0]
copies = [mv.EASE(l2=300.0).fit(splits[0].train[draw.permutation(n_train)[: n_train * 4 // 5]]) for _ in range(20)]
both = (splits[0].validation, splits[0].test)
each = np.array([np.concatenate([mv.evaluate(m, p).per_user["ndcg@100"] for p in both]) for m in copies])  # (20, 1000)
each -= each.mean(1, keepdims=True)  # equally good

sizes = (25, 50, 100, 200, 400)
leads = np.array([[lead_of_the_winner(each, m, draw) for _ in range(500)] for m in sizes])  # (sizes, 500, 2)
mean, error = leads.mean(1), leads.std(1) / 500**0.5
print("users that choose   lead on them   on a second draw (± standard error; mean of 500 repeats)")
for m, (there, elsewhere), (_, se) in zip(sizes, mean, error, strict=True):
    print(f"{m:17} {there:14.4f} {elsewhere:+11.4f} ± {se:.4f}")

# %% tags=["figure"] jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(6.5, 3))
spread = (each - each.mean(0)).std(1, ddof=1).mean()
ax.plot(sizes, mean[:, 0], "o", color=mv.plots.COLOURS[0], label="on the users who chose it")
ax.plot(sizes, 1.87 * spread / np.sqrt(sizes), ":", color="0.3", label="$1.87\\,s_d/\\sqrt{m}$")
ax.errorbar(
    sizes,
    mean[:, 1],
    1.96 * error[:, 1],
    fmt="s",
    ms=3,
    color=mv.plots.COLOURS[1],
    capsize=6,
    label="on a second draw of users",
)
ax.axhline(0, color="0.7", linewidth=1)
ax.set_xscale("log")
ax.set(xlabel="users that choose among 20 models", ylabel="winner's nDCG@100\nabove the mean of all", xticks=sizes)
ax.set_xticklabels(sizes)
ax.minorticks_off()
ax.legend()
plt.show()

# %% tags=["checks", "nbval-check-output"] jupyter={"source_hidden": true}
assert (np.abs(mean[:, 1]) < 3 * error[:, 1]).all()
assert (mean[:, 0] > 20 * error[:, 1]).all()
assert np.allclose(mean[:, 0], 1.87 * spread / np.sqrt(sizes), rtol=0.1)
print("on the second draw no lead is seen, within 3 standard errors:", True)
print("on its own users the lead follows the formula within a tenth:", True)

# %% [markdown]
# **Reading.** No model is better, and yet the winner leads on the users who chose it; on the second draw, where none is possible on average, none is seen. A model chosen among equals on the test users gets this advantage; a best [epoch](GLOSSARY.md#epoch) is chosen, too (not measured). And a validation score must not stand beside a test score: the model was chosen on it.
#
# ## 1.11 A checklist
#
# Ask of every table, your own first. [V]: seen in the source of a library (RecBole, Cornac, Elliot) or of a paper's code.
#
# | ask | trap | seen in, or section |
# |---|---|---|
# | weak or strong? whose histories were in training? | found weak splits of user–item data only | RecBole, Cornac, Elliot [V] |
# | same draw of users? | another seed than the rows beside it | SANSA (a sparse EASE) [V] |
# | vocabulary of the training users? each filter once? | other items | 1.4 |
# | denominator of Recall? | $n$, not $\min(k,n)$ | RecBole, paper 2 [V] |
# | all items ranked, history removed? ties? | sampled items; by column | 1.7, 1.8 |
# | standard errors, paired? several draws? | a third decimal in bold | 1.9 |
# | rivals tuned as well as one's own model? | a rank that nobody chose | 1.9 |
# | chosen on whom? | best epoch on test; validation beside test | 1.10 |
#
# ## 1.12 Recap
#
# * A split answers one question. Strong generalization asks about new users.
# * Recall@20 is a family of metrics: one code must rank all models.
# * Two draws of users can differ more than two models: pair, and repeat the draw.
# * Tune the rival as well as your own model. Choose on one group and report on another.
#
# ## 1.13 Exercises
#
# **★ (10 min) Task 1.1.** `hits` (users, ranks) says for each user and rank whether the item is held out, `n` (users,) how
# many are. Return the mean Recall@k over users, a scalar, denominator $\min(k,n)$. Users with $n=0$ do not count.


# %% tags=["solution"] jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "mean-recall", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mean_recall(hits, n, k):
    ### BEGIN SOLUTION
    some = n > 0
    return (hits[some, :k].sum(1) / n[some].clamp(max=k)).mean()
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "mean-recall-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
mv.checks.check_mean_recall(mean_recall)

# %% [markdown]
# **★★ (30 min) Task 1.2.** One user, `scores` (items,) with many ties, `heldout` (items,) zeros and ones. Return the **mean of
# nDCG@k over all orders of the ties**, a scalar, without trying them: which ranks may an item get, and with what
# probability? Then score the constant model of 1.8 (leave out the items of the history first): the mean over users must be
# .099; one random order gave .09.


# %% tags=["solution"] jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "fair-ndcg", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fair_ndcg(scores, heldout, k):
    ### BEGIN SOLUTION
    gain = 1 / torch.log2(torch.arange(len(scores), dtype=torch.float64) + 2)
    gain[k:] = 0
    total = torch.cat([gain.new_zeros(1), gain.cumsum(0)])  # (I + 1,) gain of the first 0, 1, ... ranks
    ahead = (scores > scores[:, None]).sum(1)  # (I,) items that surely come before
    tied = (scores == scores[:, None]).sum(1)  # (I,) items that share the ranks ahead + 1, ..., ahead + tied
    expected = (total[ahead + tied] - total[ahead]) / tied  # (I,) each of these ranks is equally likely
    return expected @ heldout.double() / total[int(heldout.sum())]
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "fair-ndcg-check", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
mv.checks.check_fair_ndcg(fair_ndcg)

# %% [markdown]
# **★★★ (open) Task 1.3.** How many test users does a difference of `smallest` need? From the paired `differences` (users,)
# of a pilot return the number of users, not rounded, with which a two-sided 5 % test finds a true difference of that
# size with probability .8: $((z_{.975}+z_{.8})\,s/\text{smallest})^2$, with $s$ the standard deviation of `differences` and
# $z_p$ = `torch.special.ndtri(p)`. Then investigate: is it the same for Recall@20 and nDCG@100?
# And without pairing? Verify the .8 by drawing users again and again. What does the formula not cover?


# %% tags=["solution"] jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "users-needed", "locked": false, "schema_version": 3, "solution": true, "task": false}
def users_needed(differences, smallest):
    ### BEGIN SOLUTION
    z = torch.special.ndtri(torch.tensor([0.975, 0.8], dtype=torch.float64)).sum()
    return (z * differences.std() / smallest).square()
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "users-needed-check", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
mv.checks.check_users_needed(users_needed)

# %% [markdown] tags=["investigation"]
# To compare your numbers: EASE ($\lambda=300$) and the SVD of rank 8 on draw 0, `smallest` $=.01$. Of two separate groups the variances add.
#
# <details><summary>Solution</summary>
#
# **One investigation** (`python chapters/investigate.py 01`; EASE ($\lambda=300$) and the SVD of rank 8, draw 0, a difference of .01). nDCG@100 needs
# 552 users, Recall@20 1,391; with two separate groups each needs 6,829 and 8,475 (each group, nDCG@100 and Recall@20). The
# pilot, shifted to a true difference of
# .01 and drawn again 2,000 times with that many users, was told from 0 in 82% and 81% of the cases; asked were 80 %. Not
# covered: the pilot's spread is itself an estimate, and neither other draws of training users nor other seeds are in it.
#
# </details>
