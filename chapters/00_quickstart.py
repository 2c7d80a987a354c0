# %% [markdown]
# # 0. Does my machine work, and what does the whole thing look like?
# **Study** 40 min · **runs** 10 CPU seconds (11 s when it was built), 0.5 GB on 1 core · **needs** Python and basic PyTorch; nothing about recommenders
#
# **You will be able to** (1) say what a recommender gets and what it must predict, (2) say how data is split for a fair evaluation, (3) train a variational autoencoder and compare it with two simple baselines, (4) compute nDCG by hand, (5) name two kinds of chance in a comparison. New words are in the [glossary](GLOSSARY.md).

# %% [markdown]
# Run the cells from top to bottom (Shift-Enter). Nothing is downloaded, no GPU is needed. The line above
# says how long the chapter computes on one core, and, in brackets, how long its last run took on a busy machine. Three words say where
# a number comes from:
#
# * **exact**: computed without approximation; a test compares it with an independent calculation.
# * **bound**: proved to be at least, or at most, the true value.
# * **measured (n seeds)**: seen in n runs that differ in their random numbers; another run gives another value. Without n it is one run.
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
# Our data is [**planted**](GLOSSARY.md#planted): a program draws it from a preference model that we know. So we can later ask what real
# data can rarely answer: was the recommendation right?

# %%
data = mv.planted(n_users=2_000, n_items=300, n_events=60_000, seed=0)
data

# %% [markdown]
# Write the interactions of $U$ users and $I$ items as a matrix of zeros and ones: its row $x_u$ is a user, its column $i$ an item, and
# $x_{ui} = 1$ if $u$ took $i$. A zero means *not taken*. It does not mean *not liked*: perhaps $u$ never heard of $i$.
#
# %%
matrix = data.matrix  # sparse, of scipy: `nnz` counts the ones, `indices` holds their columns
print("matrix (users, items):", matrix.shape)
print(f"ones: {matrix.nnz / np.prod(matrix.shape):.0%}")
print("the first items of user 0:", *data.item_titles[matrix[0].indices][:6], sep="\n  ")
own, mixed = (  # compared with the user's community, then, by `roll`, with that of the user one row before
    of[data.user] == data.truth.item_community[data.item]
    for of in (data.truth.user_community, np.roll(data.truth.user_community, 1))
)
print(f"items of the user's own community: {own.mean():.0%}, of another user's: {mixed.mean():.0%}")

# %% [markdown]
# Items belong to hidden communities; the titles show them to you, but no model sees the titles. By the rule of the program each user belongs to
# a community, too, and draws one item after the other, never the same twice. Popular items, and those that fit the own taste, are more probable.
#
# ## 0.3 A fair evaluation
#
# We want to know how a model serves **new** people. So whole users are set aside for evaluation. Of each
# such user one fifth of the items, rounded down and drawn at random, is [**held out**](GLOSSARY.md#held-out). The model sees the others, the [**history**](GLOSSARY.md#history), and must find the held-out
# items. This is [*strong generalization*](GLOSSARY.md#strong-generalization) (Liang et al., 2018). A second group of the same kind, the validation users,
# serves for choices such as when to stop; in a study the test users are looked at once, at the end (a lesson like this one looks more often). In the code `n_heldout` counts the *users* of each of these two
# groups.

# %%
split = mv.strong_split(data, n_heldout=400)
print("training users  ", split.train.shape[0])
print("validation users", split.validation.n_users)
print("test users      ", split.test.n_users)

# %%
someone = 367  # chosen for a clear taste; 0.6 shows this user's list
history, heldout = split.test.history[someone], split.test.heldout[someone]
print("seen by the model:", history.nnz, "items;  to be found:", heldout.nnz)
print("communities of the history:", *{title.split(" · ")[0] for title in split.item_titles[history.indices]})

# %% [markdown]
# **Predict.** One list shows everybody the most popular items. A personal list is computed from your
# history. Which fraction of a user's hidden items stands among the first 20 of a list, on average over users? (If more than 20 are hidden, divide what is found by 20.) Do not guess the fraction, but how much
# larger it is for the personal list: by a tenth, by a third, or twice as large? Write it down.
#
# ## 0.4 Three models
#
# All three do the same job: from a history, give a [**score**](GLOSSARY.md#score) to every item. Items of the history are left out, the
# others are ranked by score.
#
# [**Popularity**](GLOSSARY.md#popularity) scores an item by its number of training users. [**EASE**](GLOSSARY.md#ease) (Steck, 2019) is linear: the score of an item
# is a weighted sum over the items of the history, and the weights come from one matrix inverse; `l2` keeps them small.
# Such a simple model belongs in every comparison: what a network gains has to be seen beside it.

# %%
popularity = mv.Popularity().fit(split.train)
ease = mv.EASE(l2=200.0).fit(split.train)

# %% [markdown]
# [**Mult-VAE**](GLOSSARY.md#mult-vae) (Liang et al., 2018) is a variational autoencoder, the subject of this course:
#
# $$x \;\xrightarrow{\text{mask}}\; x_h \;\xrightarrow{\text{encoder}}\; \mathcal N(\mu, \mathrm{diag}\,\sigma^2)
# \;\xrightarrow{\text{draw}}\; z \;\xrightarrow{\text{decoder}}\; \pi = \mathrm{softmax}\, f_\theta(z).$$
#
# Here $x$ is the row of one user, $x_h$ what the [**mask**](GLOSSARY.md#mask) $h$ leaves of it, and $f_\theta$ the decoder, a network with the weights $\theta$.
#
# The encoder turns a user into a cloud of points, the [**posterior**](GLOSSARY.md#posterior), in a space of $d$ dimensions. The decoder turns a
# point into a probability for each item. Training wants the user's items to be probable under $\pi$, and the clouds to
# stay near the standard Gaussian $\mathcal N(0, I_d)$: it minimises $-\sum_i x_i\log\pi_i + \beta\cdot$([KL divergence](GLOSSARY.md#kl-divergence) of the cloud from
# $\mathcal N(0, I_d)$), on average over users and draws (chapter 02). The mask throws away each item with probability ½ before the encoder sees it
# (`keep=0.5`); the decoder must still name all items. For a new user there is no mask and no draw: $z = \mu$.
#
# In the settings below, `hidden` is the width of the inner layer of both networks, `latent` is $d$, and `beta` is $\beta$, which rises from 0
# over the first `anneal_steps` updates. `lr` is the step size, `batch_size` the users of one update, and `precision="fp32"` asks for products of 32-bit numbers, on every processor. An [*epoch*](GLOSSARY.md#epoch) is one pass over the training users; we keep the model of the epoch with the best nDCG@100 (0.5) on the
# validation users. `seed` sets all random numbers of the training, the first weights among them. These settings and the `l2`
# of EASE are set by hand here; a fair comparison tunes both models alike ([chapter 01](01_protocol.ipynb)).


# %%
def train(seed):
    settings = {"keep": 0.5, "beta": 0.2, "anneal_steps": 300, "lr": 3e-3, "batch_size": 100, "epochs": 25}
    config = mv.TrainConfig(**settings, precision="fp32", seed=seed)
    return mv.fit(mv.MultVAE(split.n_items, hidden=200, latent=50), split, config)


run = train(seed=0)
print(f"epochs: {len(run.log)}, kept: {run.best_epoch} (best on the validation users)")

# %% [markdown]
# ## 0.5 The metrics
#
# A good list has the hidden items early. [**nDCG@k**](GLOSSARY.md#ndcg-k) says how early: a hit at rank $r$ has the [gain](GLOSSARY.md#gain) $1/\log_2(r+1)$, the
# gains of the first $k$ ranks are added, and the sum is divided by the best sum possible for this user. So 1 is
# perfect and 0 means no hit. The usual choice is $k=100$. **By pencil:** two items are hidden, and they stand at ranks 2 and 3 of a list of five. What is nDCG@5?
#
# <details><summary>Solution</summary>
#
# The gains are $1/\log_2 3=.631$ and $1/\log_2 4=.5$, and the best sum is $1+.631$, both hits in front. So nDCG@5 $=1.131/1.631=.693$. If your
# answer is 1.131, you forgot to divide.
#
# </details>
#
# The metric is six lines:


# %% tags=["from-scratch"]
def ndcg(scores, history, heldout, k):
    scores = scores.masked_fill(history > 0, float("-inf"))  # (I,) what is known is not recommended
    ranked = scores.argsort(descending=True)[:k]
    gain = 1 / torch.log2(torch.arange(k) + 2.0)  # (k,) ranks 1, 2, ..., k
    best = gain[: int(heldout.sum())].sum()
    return float((gain * heldout[ranked]).sum() / best)


# %% [markdown]
# [**Recall@k**](GLOSSARY.md#recall-k) is simpler: the fraction of the hidden items among the first $k$; if a user has more than $k$ hidden items, $k$
# hits count as all:


# %% tags=["from-scratch"]
def recall(scores, history, heldout, k):
    ranked = scores.masked_fill(history > 0, float("-inf")).topk(k).indices
    return float(heldout[ranked].sum() / min(k, int(heldout.sum())))


# %% [markdown]
# The package computes both for all users at once. Two independent calculations should agree:

# %% tags=["nbval-check-output"]
result = mv.evaluate(run.model, split.test)
scores = run.model.score(split.test.history)
dense_history, dense_heldout = (torch.tensor(m.toarray()) for m in (split.test.history, split.test.heldout))
by_hand = np.array(
    [(ndcg(*rows, k=100), recall(*rows, k=20)) for rows in zip(scores, dense_history, dense_heldout, strict=True)]
)  # (400, 2)
agree = [np.allclose(result.per_user[m], by_hand[:, j], atol=1e-5) for j, m in enumerate(("ndcg@100", "recall@20"))]
print("our lines = package, for all 400 users: nDCG@100", agree[0], "and Recall@20", agree[1])
pencil = ndcg(torch.tensor([5.0, 4, 3, 2, 1]), torch.zeros(5), torch.tensor([0.0, 1, 1, 0, 0]), k=5)
print(f"hits at ranks 2 and 3: nDCG@5 {pencil:.3f}")

# %%
results = {"popularity": mv.evaluate(popularity, split.test), "EASE": mv.evaluate(ease, split.test), "Mult-VAE": result}
print("measured (one run)    nDCG@100        Recall@20     ± over 400 users")
for name, found in results.items():
    (ndcg_mean, ndcg_se), (recall_mean, recall_se) = found["ndcg@100"], found["recall@20"]
    print(f"{name:20}  {ndcg_mean:.3f} ± {ndcg_se:.3f}   {recall_mean:.3f} ± {recall_se:.3f}")
noise = torch.rand(scores.shape, generator=torch.Generator().manual_seed(0))
lost = [ndcg(*rows, k=100) for rows in zip(noise, dense_history, dense_heldout, strict=True)]
print(f"{'a random order':20}  {np.mean(lost):.3f}")

# %% [markdown]
# After ± stands the [standard error](GLOSSARY.md#standard-error) over users: the mean over endlessly many such users
# would typically lie about so far away.

# %% tags=["figure"] jupyter={"source_hidden": true}
means = [found["ndcg@100"] for found in results.values()]
fig, ax = plt.subplots(figsize=(7, 2.4))
ax = mv.plots.intervals(
    list(results),
    [m for m, _ in means],
    [m - 1.966 * se for m, se in means],  # 1.966: Student's t with 399 degrees of freedom
    [m + 1.966 * se for m, se in means],
    xlabel="test nDCG@100 (bar: 95 % interval over 400 users)",
    ax=ax,
)

# %% [markdown]
# Your prediction? Recall@20, a mean over users, is about a third higher for the personal lists. The two personal
# models are far above popularity. Which of *these two* is better? Their bars are wide because users differ (standard deviation of their nDCGs: next output), and the two models mostly find the same users easy:
# their nDCGs correlate. So subtract **user by user** first: what is common to both cancels, and the interval of the mean difference is what counts.


# %% tags=["from-scratch"]
def paired(a, b):  # values of the same users -> mean difference and its 95 % interval
    difference = torch.as_tensor(a - b)
    half = 1.966 * difference.std() / len(difference) ** 0.5
    return float(difference.mean()), float(difference.mean() - half), float(difference.mean() + half)


# %% tags=["from-scratch"]
each = {name: found.per_user["ndcg@100"] for name, found in results.items()}
correlation = np.corrcoef(each["Mult-VAE"], each["EASE"])[0, 1]
unpaired = 1.966 * np.hypot(result["ndcg@100"][1], results["EASE"]["ndcg@100"][1])
print(
    f"nDCG of a user, standard deviation: {each['Mult-VAE'].std():.2f} for Mult-VAE, {each['EASE'].std():.2f} for EASE"
)
print(f"correlation of Mult-VAE and EASE over users: {correlation:.2f}")
for rival in ("popularity", "EASE"):
    mean, low, high = paired(each["Mult-VAE"], each[rival])
    print(f"Mult-VAE − {rival:10}  {mean:+.3f}  [{low:+.3f}, {high:+.3f}]   seed 0")
print(f"half of the last interval: {high - mean:.3f}; if the users of the two models were not the same: {unpaired:.3f}")

# %%
others = [mv.evaluate(train(seed).model, split.test).per_user["ndcg@100"] for seed in (1, 2, 3)]
for seed, values in enumerate([each["Mult-VAE"], *others]):
    print(f"seed {seed}: Mult-VAE {values.mean():.3f}, minus EASE {values.mean() - each['EASE'].mean():+.4f}")

# %% tags=["checks", "nbval-check-output"] jupyter={"source_hidden": true}
assert 1.25 < results["Mult-VAE"]["recall@20"][0] / results["popularity"]["recall@20"][0] < 1.4
beats = mv.compare(result, results["popularity"])["ndcg@100"].low > 0
assert beats
print("better than popularity, by more than chance:", beats)
for rival in ("popularity", "EASE"):
    package = mv.compare(result, results[rival])["ndcg@100"]
    np.testing.assert_allclose(
        paired(each["Mult-VAE"], each[rival]), (package.difference, package.low, package.high), atol=1e-4
    )
assert 0.8 < correlation < 0.95
assert all(0.2 < each[name].std() < 0.3 for name in each)
assert unpaired > 2.5 * (high - mean)
by_seed = [paired(values, each["EASE"]) for values in (each["Mult-VAE"], *others)]
assert all(low < 0 < high for _, low, high in by_seed)
assert min(mean for mean, _, _ in by_seed) < -0.003 < 0.003 < max(mean for mean, _, _ in by_seed)
print("the interval of Mult-VAE − EASE contains 0 for each of the four seeds, and its mean changes sign:", True)

# %% [markdown]
# **Reading.** Pairing makes the interval about three times narrower here. An interval that contains 0 says: with these users we cannot tell the two models apart. It does not say that they
# are equal. And it covers the choice of users, not the randomness of training: another `seed` gives another Mult-VAE. Of the four above two are ahead of EASE, by .0015 and .004, two behind it, by .0003 and .004. So a comparison has at least two kinds of chance, users and
# seeds; later chapters use several seeds
# in most comparisons, and say where it is one.

# %% [markdown] tags=["fault"]
# **Find the fault.** Every chapter has one cell with a fault, put there on purpose, which its numbers give away. Here is the first: EASE on a small data set.
# The cell prints `of 20 recommended items the user already has 7.5, on average`. A recommender should name new items, and even a random list would hold only 1.6 known ones: a history has 16 of the 200 items, on average. Find the line
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
# Write `scores.masked_fill(known > 0, -torch.inf).topk(20)`, not `scores.topk(20)`; then it prints `of 20 recommended items the user already has 0.0, on average`. Items of the history get high scores,
# too. Left in the ranking, they take the places of new items.
#
# </details>

# %% [markdown] tags=["try"]
# **Your first recommender.** People who took this also took that: score an item by the number of pairs (training user, item of the history) where
# the user took both that item and the scored one. Below, `together` counts for any two items the training users who took both, and every score is 0. Replace the
# marked line by one that computes `(users, items)` scores, a torch tensor; `history` is a sparse matrix of scipy. How does it compare with popularity (.457) and EASE (.613)?
# Unchanged, the cell below prints .043, less than a random order (.125). With every score 0 all items are tied, and `mv.evaluate` leaves the order of ties to
# `torch.topk`: here the 100 items recommended to a test user have 52 training users on average (all items: 121). Perhaps that is why; more on ties in [chapter 01](01_protocol.ipynb).
#
# <details><summary>Hint</summary>
#
# The score of item $i$ is a sum over the items of the history: a matrix product of `history` and `together`.
#
# </details>
#
# <details><summary>Solution</summary>
#
# `return torch.tensor(history @ self.together)`. Then the cell prints `nDCG@100 0.525` and, minus popularity, `+0.068 [+0.056, +0.081]`: above popularity on the same users, and below
# EASE. Its first 10 items have 510 training users on average. Now divide, at the end of `fit`, each count by the square roots of both items' own counts:
# `size = np.sqrt(self.together.diagonal())`, `self.together = self.together / size / size[:, None]`. The cell prints `nDCG@100 0.569`,
# and 453 training users, not 510; whether that is the reason, the numbers do not say. EASE starts from the same counts, too (chapter 01).
#
# </details>


# %% tags=["try", "nbval-check-output"]
class Together:
    def fit(self, train):
        self.together = (train.T @ train).toarray()  # (I, I)
        return self

    def score(self, history):
        return torch.zeros(history.shape)  # (users, I): replace this line


mine = Together().fit(split.train)
scored = mv.evaluate(mine, split.test)
ahead = mv.compare(scored, results["popularity"])["ndcg@100"]
print(f"my recommender: nDCG@100 {scored['ndcg@100'][0]:.3f};", end=" ")
print(f"minus popularity, user by user: {ahead.difference:+.3f} [{ahead.low:+.3f}, {ahead.high:+.3f}]")
taken_by = np.asarray(split.train.sum(0)).ravel()  # training users of every item
for k in (10, 100):
    listed = mv.recommend(mine, split.test.history, k=k)[0].numpy()
    print(
        f"its first {k} items have {taken_by[listed].mean():.0f} training users on average (all: {taken_by.mean():.0f})"
    )

# %% [markdown]
# ## 0.6 What does it recommend?

# %%
hidden = set(heldout.indices)
places = np.asarray(split.train.sum(0)).ravel().argsort()[::-1].argsort() + 1  # of each item in the popularity list
for name, m in {"popularity": popularity, "Mult-VAE": run.model}.items():
    listed = mv.recommend(m, history, k=8)[0][0].tolist()
    print(f"{name} recommends (in brackets the place in the popularity list):")
    for i in listed:
        print(f"  {split.item_titles[i]:22} ({places[i]})", "  hidden, found" if i in hidden else "")

# %% [markdown]
# **Reading.** This user was chosen for a clear taste: one case, no average. All twelve items of this history are from Community 1. The popularity list has one item of it among eight, the Mult-VAE seven, down to place 79 of
# the popularity list, and all three hidden items among them.
#
# Is an item that was *not* hidden a wrong answer? In most real data nobody knows. Here we can look: `data.truth` holds the
# preferences that the population was drawn from, and no model has seen them. The program draws the next item of a user by a softmax of these
# over the items not yet taken. Sum this true probability over a list of ten:


# %% tags=["from-scratch"]
def true_share(model):
    listed, _ = mv.recommend(model, split.test.history, k=10)
    return float(probability.gather(1, listed).sum(1).mean())


# %% tags=["from-scratch"]
preference = data.truth.logits(split.test.user_labels)[:, split.item_labels]  # (400, 300), columns as in the split
preference[split.test.history.nonzero()] = -np.inf
probability = torch.softmax(torch.tensor(preference), 1)  # (400, 300)
best_possible = float(probability.topk(10).values.sum(1).mean())

# %%
for name, m in {"popularity": popularity, "EASE": ease, "Mult-VAE": run.model}.items():
    print(f"{name:12} {true_share(m):.2f}   measured{' (1 seed)' if m is run.model else ''}")
print(f"{'best of all':12} {best_possible:.2f}   exact")
by_truth = [ndcg(*rows, k=100) for rows in zip(torch.tensor(preference), dense_history, dense_heldout, strict=True)]
print(f"nDCG@100 of ranking by true taste: {np.mean(by_truth):.3f} (Mult-VAE {result['ndcg@100'][0]:.3f})")

# %% tags=["checks", "nbval-check-output"] jupyter={"source_hidden": true}
of_one = {name: mv.recommend(m, history, k=8)[0][0] for name, m in {"pop": popularity, "vae": run.model}.items()}
own = {name: sum(split.item_titles[i].startswith("Community 1 ·") for i in row) for name, row in of_one.items()}
assert own == {"pop": 1, "vae": 7}
assert hidden <= set(of_one["vae"].tolist())
assert history.nnz == sum(split.item_titles[i].startswith("Community 1 ·") for i in history.indices) == 12
assert max(places[i] for i in of_one["vae"].tolist()) == 79
assert result["ndcg@100"][0] < np.mean(by_truth) < 0.85
odds = np.exp(preference - preference.max(1, keepdims=True))  # the same without torch
np.testing.assert_allclose(best_possible, (np.sort(odds, 1)[:, -10:].sum(1) / odds.sum(1)).mean())
ordered = true_share(popularity) < true_share(run.model) < best_possible
assert ordered
print("popularity < Mult-VAE < the best possible list:", ordered)

# %% [markdown]
# **Reading.** "Best of all" is the most that any list of ten can reach: the list of someone who knows every user's taste. And to rank *all* items by the true
# taste gives an nDCG@100 far below 1 (last line). A likely reason, not tested: the hidden items are a random draw from the
# taste, and nobody can foresee a draw. That no other ranking reaches more is not shown here.
#
# ## 0.7 The question of this course
#
# The model never met our test users. Except for their histories, all that it knows it learnt from *others*: a training step on one user
# changes the decoder, and the decoder is shared. So:
#
# > When does learning from user $v$ help user $u$?
#
# The paper *On the Mechanisms of Collaborative Learning in [VAE](GLOSSARY.md#vae) Recommenders* answers with a few theorems. This course
# derives each of them, codes it, measures it, and shows how far it reaches. The [syllabus](README.md) lists the
# chapters; [chapter 01](01_protocol.ipynb) is next. If you want the central theorem now, go to
# [chapter 04, the sharing radius](04_sharing_radius.ipynb).
#
# ## 0.8 Recap
#
# * A recommender sees zeros and ones. A zero may be something that the user would love.
# * To see how a model serves new people, evaluate it on users that it was not trained on. Rank all items, and compare user by user, with intervals.
# * Popularity and EASE belong in every comparison. A VAE should be compared with both.
