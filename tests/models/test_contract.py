"""What a model of one's own lacks, and arguments of another kind, are named in one sentence before any training."""

import re

import numpy as np
import pytest
import torch
from torch import nn

import minivae as mv
from minivae.models import SparseLinear
from minivae.theory import wrap

N = 40
CONFIG = mv.TrainConfig(epochs=1, batch_size=32, device="cpu", precision="fp32", anchor=1.0)


@pytest.fixture(scope="module")
def data():
    return mv.planted(n_users=100, n_items=N, n_events=1500)


@pytest.fixture(scope="module")
def split(data):
    return mv.strong_split(data, n_heldout=10)


class Own(mv.VAE):
    """The least that trains; a test takes one part away, or puts another in its place."""

    n_items, latent = N, 3

    def __init__(self, **parts):
        super().__init__()
        self.encoder = SparseLinear(N, 6)
        self.decoder = nn.Sequential(nn.Linear(3, N))
        for name, part in parts.items():
            setattr(self, name, part)

    @property
    def sizes(self):
        return {}

    def reset_parameters(self, generator=None):
        for p in self.parameters():
            nn.init.normal_(p, std=0.1, generator=generator)

    def posterior(self, x):
        mu, logvar = self.encoder(x).chunk(2, dim=-1)
        return mu, logvar


def said(call, *arguments):
    with pytest.raises(mv.InputError) as e:
        call(*arguments)
    assert "\n" not in str(e.value)
    return str(e.value)


def test_the_least_model_trains_and_is_the_same_again(split):
    assert len(mv.fit(Own(), split, CONFIG).log) == 1


def test_missing_methods_and_attributes_are_named_together(split):
    class Bare(mv.VAE):
        n_items = N

    message = said(mv.fit, Bare(), split, CONFIG)
    parts = "latent, encoder, decoder, posterior(x), reset_parameters(generator), sizes"
    assert message.startswith(f"Bare cannot be trained yet: it lacks {parts};")

    class Drawing(Own):
        """`draw` stands for `posterior`."""

        posterior = mv.VAE.posterior

        def draw(self, x, noise=None):
            return super().draw(x, noise)

    with pytest.raises(NotImplementedError, match=r"Drawing must implement posterior\(x\)"):
        Drawing().encode(np.eye(N))
    for part in ("posterior", "reset_parameters", "sizes"):
        without = type("Without", (Own,), {part: getattr(mv.VAE, part)})
        assert re.fullmatch(rf"Without cannot be trained yet: it lacks {part}[^,]*; .*", said(mv.fit, without(), split))


@pytest.mark.parametrize(
    ("decoder", "what"),
    [
        (nn.Sequential(nn.Linear(3, N, bias=False)), "ends in a layer without bias"),
        (nn.Linear(3, N), "is a Linear"),
        (nn.Sequential(nn.Linear(3, N), nn.Identity()), "ends in an Identity"),
        (nn.Sequential(nn.Linear(3, N - 1)), "gives 39 logits for 40 items"),
        (nn.Sequential(), "is empty"),
    ],
)
def test_a_decoder_that_does_not_end_in_the_items_is_named(split, decoder, what):
    message = said(mv.fit, Own(decoder=decoder), split, CONFIG)
    assert message.startswith(
        f"the decoder of Own {what}; it must be an nn.Sequential that ends in nn.Linear(width, 40)"
    )


def test_an_encoder_for_dense_rows_is_named(split):
    for encoder in (nn.Linear(N, 6), nn.Sequential(nn.Linear(N, 6), nn.Tanh())):
        model = Own(encoder=encoder)
        for call in (lambda model=model: mv.fit(model, split, CONFIG), lambda model=model: model.encode(np.eye(N))):
            assert "begin with minivae.models.SparseLinear(n_items, width)" in said(call)


def test_what_posterior_gives_must_be_one_number_for_each_user_and_dimension(split):
    class Narrow(Own):
        """One variance for all dimensions: broadcast, it would train, and be counted once where there are d."""

        def posterior(self, x):
            mu, logvar = super().posterior(x)
            return mu, logvar[:, :1]

    class Together(Own):
        def posterior(self, x):
            return self.encoder(x)

    class Wide(Own):
        latent = 4

    for call in (lambda: mv.fit(Narrow(), split, CONFIG), lambda: Narrow().encode(np.eye(N))):
        assert re.search(r"logvar of Narrow has the shape \((32|40), 1\); .* must be \(\1, 3\)", said(call))
    assert "posterior(x) of Together must return two tensors" in said(mv.fit, Together(), split, CONFIG)
    assert "mu of Together has the shape (6,)" in said(Together().encode, np.eye(N)[:2])
    with pytest.raises((mv.InputError, RuntimeError)):
        mv.fit(Wide(), split, CONFIG)
    assert "of Wide has the shape (40, 3); for 40 users and latent=4" in said(Wide().encode, np.eye(N))

    class Careless(Own):
        def posterior(self, x):
            return None.mu

    with pytest.raises(AttributeError, match="NoneType"):  # a fault of another kind is not taken for this one
        Careless().encode(np.eye(N))


def test_arguments_of_another_kind(data, split):
    model, signature = Own(), r"fit\(model, split, config\) trains a minivae\.VAE on a StrongSplit"
    wrapped = wrap(encode=lambda x: model.encode(x), decode=model.decoder)
    for arguments, message in [
        ((model, data), r"which minivae\.strong_split\(data\) makes of it; here the second argument is a Planted"),
        ((model, split.train), "; here the second argument is a csr_matrix"),
        ((model, split.test), "; here the second argument is a FoldIn"),
        ((split, model), "; here the Own is the second argument, after a StrongSplit"),
        ((mv.EASE(), split), r"; EASE learns without steps: model\.fit\(split\.train\)"),
        ((wrapped, split), "; a Wrapped is none"),
        ((mv.MultVAE, split), r"; MultVAE is the class, make a model: MultVAE\(split\.n_items\)"),
    ]:
        assert re.fullmatch(f"{signature}(, )?{message}", said(mv.fit, *arguments))
    assert said(mv.fit, model, split, {"epochs": 1}).endswith("give a minivae.TrainConfig, TrainConfig(**config)")
    assert said(mv.fit, model, split, 5).startswith("config is a int")


def test_encode_can_be_differentiated_and_no_grad_gives_numbers():
    model = Own()
    assert model.encode(np.eye(N))[0].requires_grad
    with torch.no_grad():
        assert model.encode(np.eye(N))[0].numpy().shape == (N, 3)
    assert "torch.no_grad()" in str(mv.VAE.encode.__doc__)
