"""Errors that a hurried author might make, (right, wrong) in the text of an explorable: the tests have to see them."""

ERRORS: dict[str, list[tuple[str, str]]] = {
    "masked-distance": [("2 * keep * (1 - keep)", "keep * (1 - keep)"), ("pmf.slice(d + 1)", "pmf.slice(d)")],
    "sharing-disc": [("lipschitz * w + mismatch", "lipschitz * w"), ("g * (g - penalty)", "g * (g - penalty / 2)")],
    "anchors": [
        ("L / (L + 2 * lambda)", "L / (L + lambda)"),
        ("2 * lambda * centroid[k]) /", "lambda * centroid[k]) /"),
    ],
}
