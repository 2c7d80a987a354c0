"""Errors that a hurried author might make, (right, wrong) in the text of an explorable: the tests have to see them."""

ERRORS: dict[str, list[tuple[str, str]]] = {
    "masked-distance": [("2 * keep * (1 - keep)", "keep * (1 - keep)"), ("pmf.slice(d + 1)", "pmf.slice(d)")],
    "sharing-disc": [("lipschitz * w + mismatch", "lipschitz * w"), ("g * (g - penalty)", "g * (g - penalty / 2)")],
    "anchors": [
        ("L / (L + 2 * lambda)", "L / (L + lambda)"),
        ("2 * lambda * centroid[k]) /", "lambda * centroid[k]) /"),
        ("turned(centroid, -turn)", "turned(centroid, turn)"),
    ],
    "compromise": [
        ("Math.log1p(y / x)", "Math.log(y / x)"),
        ("(t * t) / 4", "(t * t) / 2"),
        ("(heavy / ITEMS - 1) * (v", "(heavy / ITEMS - 1) * (u"),
        ("common * unequal", "unequal"),
    ],
    "beta": [
        ("Math.exp(own) * (own - crowd)", "Math.exp(crowd) * (own - crowd)"),
        ("Math.sqrt(2 * kl)", "Math.sqrt(kl)"),
        ("radius[mu.indexOf(Math.max(...mu))]", "radius[mu.length - 1]"),
    ],
    "transport": [("(2 * sine * sine)", "(sine * sine)"), ("0.5 * (trace - 2", "0.5 * (trace - 1")],
    "elbo": [("- posterior(z)", "- logNormal(z)"), ("(c * c) / 2", "c * c")],
    "recall-and-ndcg": [
        ("found.length / Math.min(k, n)", "found.length / k"),
        ("Math.log2(rank + 1)", "Math.log2(rank + 2)"),
    ],
    "sharing-plane": [
        ("(p - goal[i]) * f", "p * f"),
        ("moved[v] ?? m", "(v === user && moved[v]) || m"),
        ("Math.tanh(p * x + q * y + RUN.c[j])), 1]", "Math.tanh(p * x + q * y)), 1]"),
    ],
    "users-and-seeds": [
        ("(e * e) / (n * m)", "(e * e) / n"),
        ("(Z * users) / both", "users / both"),
        ("(n * m - 1)", "(n - 1)"),
        ("(b * b) / m / V", "(b * b) / V"),
    ],
    "cost": [
        ("6 * batch * 3 * latent", "6 * batch * 2 * latent"),
        ("4 * batch * TAKEN", "4 * batch * items"),
        ("20 * parameters", "16 * parameters"),
        ("4 * items ** 2", "4 * items"),
    ],
    "peeking": [("/ alpha ** 2", "/ alpha"), ("a >= 0 && a <= k", "a >= 0 && a < k")],
}
