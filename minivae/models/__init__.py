"""The model zoo."""

from minivae.models.baseline import Baseline
from minivae.models.ease import EASE, EDLAE
from minivae.models.hvamp import HVamp
from minivae.models.ials import IALS
from minivae.models.multdae import MultDAE
from minivae.models.multvae import MultVAE
from minivae.models.popularity import Popularity
from minivae.models.priors import Prior, register_prior
from minivae.models.recommender import Recommender
from minivae.models.recvae import RecVAE
from minivae.models.registry import register_model
from minivae.models.saved import load_model, save_model
from minivae.models.slim import SLIM
from minivae.models.sparse_linear import SparseLinear
from minivae.models.vae import VAE

__all__ = [
    "EASE",
    "EDLAE",
    "IALS",
    "SLIM",
    "VAE",
    "Baseline",
    "HVamp",
    "MultDAE",
    "MultVAE",
    "Popularity",
    "Prior",
    "RecVAE",
    "Recommender",
    "SparseLinear",
    "load_model",
    "register_model",
    "register_prior",
    "save_model",
]
