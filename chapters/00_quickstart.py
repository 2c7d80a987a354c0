# %% [markdown]
# # 0. Does my machine work, and what does the whole thing look like?
# **Study** 30 min · **runs** 6 CPU seconds (229 s when it was built), 0.5 GB on 1 core · **needs** Python and basic PyTorch; nothing about recommenders
#
# **You will be able to** (1) say what a recommender gets and what it must predict, (2) split data so that the evaluation
# is fair, (3) train a variational autoencoder and compare it with two simple baselines, (4) compute nDCG by hand, (5) say
# which part of a comparison is chance. New words are in the [glossary](GLOSSARY.md).

# %% [markdown]
# Run the cells from top to bottom (Shift-Enter). Nothing is downloaded, no GPU is needed. The course works with numbers
# of three kinds, and always says which:
#
# * **exact**: computed without approximation; a test compares it with an independent calculation.
# * **bound**: proved to be at least, or at most, the true value.
# * **measured (n seeds)**: seen in n runs that differ in their random numbers; another run gives another value.
#
# ## 0.1 Does my machine work?

# %% tags=["setup"]
import sys

import matplotlib.pyplot as plt
import numpy as np
import torch

import minivae as mv

mv.plots.course_style()

# %% tags=["nbval-check-output"]
assert sys.version_info[:2] >= (3, 11), "minivae needs Python 3.11 or newer"
assert torch.tensor([3.0, 4.0]).norm() == 5.0
print("environment: ready")

# %% [markdown]
# If the first cell fails with `No module named 'minivae'`, the notebook runs in another Python than the one you
# installed into. Stop it, type `pip install -e ".[course]"` in the folder of the project, and start `jupyter lab` from
# the same terminal.
#
# ## 0.2 Who took what
#
# A recommender knows who took which item: watched, bought, read. There are no stars and no words, and nobody says what
# they dislike. This is called [**implicit feedback**](GLOSSARY.md#implicit-feedback). One event, a pair (user, item), is an [**interaction**](GLOSSARY.md#interaction).
#
# Our data is [**planted**](GLOSSARY.md#planted): a program draws it from a preference model that we know. So we can later ask what no real
# data set can answer: was the recommendation right?

# %%
data = mv.planted(n_users=2_000, n_items=300, n_events=60_000, seed=0)
data

# %% [markdown]
# Write the interactions as a matrix $x \in \{0,1\}^{U \times I}$: row $u$ is a user, column $i$ an item, and
# $x_{ui} = 1$ if $u$ took $i$. A zero means *not taken*. It does not mean *not liked*: perhaps $u$ never heard of $i$.
#
# %%
x = data.matrix
print("matrix (users, items):", x.shape)
print(f"ones: {x.nnz / np.prod(x.shape):.0%}")
print("the first items of user 0:", *data.item_titles[x[0].indices][:6], sep="\n  ")

# %% [markdown]
# Items belong to hidden communities; the titles show them to you, but no model sees the titles. Users have a favourite
# community, take items of others too, and all of them like what is popular.
#
# ## 0.3 A fair evaluation
#
# We want to know how a model serves **new** people. So whole users are set aside for evaluation. Of each
# such user the model sees four fifths of the items, the [**history**](GLOSSARY.md#history), and must find the last fifth, the **held-out**
# items. This is [*strong generalization*](GLOSSARY.md#strong-generalization) (Liang et al., 2018). A second group of the same kind, the validation users,
# serves for choices such as when to stop; the test users are looked at once, at the end. Below, `n_heldout` is the
# number
# of *users* in each of the two groups.

# %%
split = mv.strong_split(data, n_heldout=400)
print("training users  ", split.train.shape[0])
print("validation users", split.validation.n_users)
print("test users      ", split.test.n_users)

# %%
someone = 7
history, heldout = split.test.history[someone], split.test.heldout[someone]
print("seen by the model:", history.nnz, "items;  to be found:", heldout.nnz)

# %% [markdown]
# **Predict.** One list shows everybody the most popular items. A personal list is computed from your
# history. Write down your guess: will the personal list find a tenth more of the hidden items, half as many more, or
# twice as many?
#
# ## 0.4 Three models
#
# All three do the same job: from a history, give a [**score**](GLOSSARY.md#score) to every item. Items of the history are left out, the
# others are ranked by score.
#
# [**Popularity**](GLOSSARY.md#popularity) scores an item by its number of training users. [**EASE**](GLOSSARY.md#ease) (Steck, 2019) is linear: the score of an item
# is a weighted sum over the items of the history, and the weights come from one matrix inverse; `l2` keeps them small.
# It takes a second and is often hard to beat, so it belongs in every comparison.

# %%
popularity = mv.Popularity().fit(split.train)
ease = mv.EASE(l2=200.0).fit(split.train)

# %% [markdown]
# [**Mult-VAE**](GLOSSARY.md#mult-vae) (Liang et al., 2018) is a variational autoencoder, the subject of this course:
#
# $$x \;\xrightarrow{\text{mask}}\; x_h \;\xrightarrow{\text{encoder}}\; \mathcal N(\mu, \mathrm{diag}\,\sigma^2)
# \;\xrightarrow{\text{draw}}\; z \;\xrightarrow{\text{decoder}}\; \pi = \mathrm{softmax}\, f_\theta(z).$$
#
# The encoder turns a user into a cloud of points, the [**posterior**](GLOSSARY.md#posterior), in a space of $d$ dimensions. The decoder turns a
# point into a probability for each item. Training wants the user's items to be probable under $\pi$, and the clouds to
# stay near $\mathcal N(0, I)$. The [**mask**](GLOSSARY.md#mask) throws away a random half of the items before the encoder sees them
# (`keep=0.5`); the decoder must still name them all. For a new user there is no mask and no draw: $z = \mu$.
#
# In the settings below, `hidden` is the width of the inner layer of both networks, `latent` is $d$, `beta` weighs the
# pull towards $\mathcal N(0, I)$ and rises over the first `anneal_steps`
# updates. An [*epoch*](GLOSSARY.md#epoch) is one pass over the training users; we keep the model of the best one.

# %%
model = mv.MultVAE(split.n_items, hidden=200, latent=50)
config = mv.TrainConfig(keep=0.5, beta=0.2, anneal_steps=300, lr=3e-3, batch_size=100, epochs=25, seed=0)
run = mv.fit(model, split, config)
print(f"epochs: {len(run.log)}, kept: {run.best_epoch} (best on the validation users)")

# %% [markdown]
# ## 0.5 The metrics
#
# A good list has the hidden items early. [**nDCG@k**](GLOSSARY.md#ndcg-k) says how early: a hit at rank $r$ has the [gain](GLOSSARY.md#gain) $1/\log_2(r+1)$, the
# gains of the first $k$ ranks are added, and the sum is divided by the best sum possible for this user. So 1 is
# perfect and 0 means no hit. It is six lines:


# %% tags=["from-scratch"]
def ndcg(scores, history, heldout, k):
    scores = scores.masked_fill(history > 0, float("-inf"))  # (I,) what is known is not recommended
    ranked = scores.argsort(descending=True)[:k]
    gain = 1 / torch.log2(torch.arange(k) + 2.0)  # (k,) ranks 1, 2, ..., k
    best = gain[: int(heldout.sum())].sum()
    return float((gain * heldout[ranked]).sum() / best)


# %% [markdown]
# The package computes the same for all users at once. Two independent calculations should agree:

# %% tags=["nbval-check-output"]
result = mv.evaluate(run.model, split.test)
scores = run.model.score(split.test.history)
dense_history, dense_heldout = (torch.tensor(m.toarray()) for m in (split.test.history, split.test.heldout))
by_hand = [ndcg(*rows, k=100) for rows in zip(scores, dense_history, dense_heldout, strict=True)]
np.testing.assert_allclose(result.per_user["ndcg@100"], by_hand, atol=1e-5)
print("six lines = package, for all 400 users:", True)

# %%
results = {"popularity": mv.evaluate(popularity, split.test), "EASE": mv.evaluate(ease, split.test), "Mult-VAE": result}
print(f"{'measured (1 seed)':20}  nDCG@100        Recall@20")
for name, r in results.items():
    (ndcg_mean, ndcg_se), (recall, recall_se) = r["ndcg@100"], r["recall@20"]
    print(f"{name:20}  {ndcg_mean:.3f} ± {ndcg_se:.3f}   {recall:.3f} ± {recall_se:.3f}")

# %% [markdown]
# **Recall@20** is simpler: the fraction of the hidden items among the first 20; if a user has more than 20 hidden items, 20
# hits count as all. After ± stands the [standard error](GLOSSARY.md#standard-error) over users: with other users from the same population, the mean
# would move by about so much.

# %%
means = [r["ndcg@100"] for r in results.values()]
fig, ax = plt.subplots(figsize=(7, 2.4))
ax = mv.plots.intervals(
    list(results),
    [m for m, _ in means],
    [m - 1.96 * se for m, se in means],
    [m + 1.96 * se for m, se in means],
    xlabel="test nDCG@100 (bar: 95 % interval over 400 users)",
    ax=ax,
)

# %% [markdown]
# Your prediction? Personal lists find about a third more of the hidden items among the first 20. The two personal
# models are far above popularity, and their bars overlap. May we say which of the two is better?
# The bars are wide because users differ: some are easy for every model. So subtract **user by user** first. The easy
# users cancel, and the interval of the mean difference is what counts:


# %% tags=["from-scratch"]
def paired(a, b):  # values of the same users -> mean difference and its 95 % interval
    d = torch.as_tensor(a - b)
    half = 1.966 * d.std() / len(d) ** 0.5  # 1.966: Student's t with 399 degrees of freedom
    return float(d.mean()), float(d.mean() - half), float(d.mean() + half)


# %%
for rival in ("popularity", "EASE"):
    d = mv.compare(result, results[rival])["ndcg@100"]
    print(f"Mult-VAE − {rival:10}  {d.difference:+.3f}  [{d.low:+.3f}, {d.high:+.3f}]   measured (1 seed)")
    by_hand = paired(result.per_user["ndcg@100"], results[rival].per_user["ndcg@100"])
    np.testing.assert_allclose(by_hand, (d.difference, d.low, d.high), atol=1e-4)

# %% tags=["checks", "nbval-check-output"] jupyter={"source_hidden": true}
assert 1.25 < results["Mult-VAE"]["recall@20"][0] / results["popularity"]["recall@20"][0] < 1.4
beats = mv.compare(result, results["popularity"])["ndcg@100"].low > 0
assert beats
print("better than popularity, by more than chance:", beats)

# %% [markdown]
# **Reading.** An interval that contains 0 says: these users cannot tell the two models apart. It does not say that they
# are equal. And one thing is missing here: the interval covers the choice of users, not the randomness of training.
# Another `seed` gives another Mult-VAE. Change `seed=0` above to 1, 2, 3 and look; later chapters use several seeds
# whenever they compare.

# %% [markdown] tags=["fault"]
# **Find the fault.** Every chapter has one cell with a fault, put there on purpose, which its numbers give away. Here is the first: EASE on a small data set.
# The cell prints `of 20 recommended items the user already has 7.5, on average`. A recommender should name new items. Find the line
# before you unfold the hint.

# %% tags=["fault", "nbval-check-output"]
part = mv.strong_split(mv.planted(n_users=1_000, n_items=200, n_events=20_000, seed=0), n_heldout=200)
known = torch.tensor(part.test.history.toarray())
scores = mv.EASE(l2=200.0).fit(part.train).score(part.test.history)
listed = scores.topk(20).indices  # (200, 20)
print(f"of 20 recommended items the user already has {known.gather(1, listed).sum(1).mean():.1f}, on average")

# %% [markdown] tags=["fault"]
# <details><summary>Hint</summary>
#
# Compare with the six lines of `ndcg` above. What do they do before they sort?
#
# </details>
#
# <details><summary>Solution</summary>
#
# Write `scores.masked_fill(known > 0, -torch.inf).topk(20)`, not `scores.topk(20)`; then it prints `of 20 recommended items the user already has 0.0, on average`. The history has high scores
# itself. Left in the ranking, it takes the places of new items.
#
# </details>

# %% [markdown]
# ## 0.6 What does it recommend?

# %%
items, _ = mv.recommend(run.model, split.test.history[someone], k=8)
hidden = set(split.test.heldout[someone].indices)
title = split.item_titles
seen = [t.split(" · ")[0] for t in title[split.test.history[someone].indices]]
print("most frequent in the history:", *sorted(dict.fromkeys(seen), key=seen.count, reverse=True)[:3], sep="\n  ")
print("recommended:")
for i in items[0].tolist():
    print(f"  {title[i]}", "  (hidden, found)" if i in hidden else "")

# %% [markdown]
# Is an item that was *not* hidden a mistake? In real data nobody knows. Here we can look: `data.truth` holds the
# preferences that the population was drawn from, and no model has seen them. Take the true probability that a user
# picks an item next, and sum it over a list of ten:


# %% tags=["from-scratch"]
def true_share(model):
    listed, _ = mv.recommend(model, split.test.history, k=10)
    return float(probability.gather(1, listed).sum(1).mean())


# %%
preference = data.truth.logits(split.test.user_labels)[:, split.item_labels]  # (400, 300), columns as in the split
preference[split.test.history.nonzero()] = -np.inf
probability = torch.softmax(torch.tensor(preference), 1)  # (400, 300)
best_possible = float(probability.topk(10).values.sum(1).mean())
for name, m in {"popularity": popularity, "EASE": ease, "Mult-VAE": run.model}.items():
    print(f"{name:12} {true_share(m):.2f}   measured (1 seed)")
print(f"{'best of all':12} {best_possible:.2f}   exact")
by_truth = [ndcg(*rows, k=100) for rows in zip(torch.tensor(preference), dense_history, dense_heldout, strict=True)]
print(f"nDCG@100 of ranking by true taste: {np.mean(by_truth):.3f} (Mult-VAE {result['ndcg@100'][0]:.3f})")

# %% tags=["checks", "nbval-check-output"] jupyter={"source_hidden": true}
assert result["ndcg@100"][0] < np.mean(by_truth) < 0.85
ordered = true_share(popularity) < true_share(run.model) < best_possible
assert ordered
print("popularity < Mult-VAE < the best possible list:", ordered)

# %% [markdown]
# **Reading.** "Best of all" is the most that any list can reach: the list of someone who knows every user's taste. Even this list has an nDCG far
# below 1 (last line): the hidden items are a random draw from the taste, and nobody can foresee a draw.
#
# ## 0.7 The question of this course
#
# The model never met our test users. What it knows about them it learnt from *others*: a training step on one user
# changes the decoder, and the decoder is shared. So:
#
# > When does learning from user $v$ help user $u$?
#
# The paper *On the Mechanisms of Collaborative Learning in [VAE](GLOSSARY.md#vae) Recommenders* answers with a few theorems. This course
# derives each of them, codes it, measures it, and shows where it stops being true. The [syllabus](README.md) lists the
# chapters; [chapter 01](01_protocol.ipynb) is next. If you want the central theorem now, go to
# [chapter 04, the sharing radius](04_sharing_radius.ipynb).
#
# ## 0.8 Recap
#
# * A recommender sees zeros and ones. A zero may be something that the user would love.
# * A fair evaluation uses users that the model was not trained on, ranks all items, and compares user by user, with intervals.
# * Popularity and EASE belong in every comparison. A VAE should be compared with both.
