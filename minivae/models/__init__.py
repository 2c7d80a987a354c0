"""The model zoo."""

from minivae.models.ease import EASE
from minivae.models.hvamp import HVamp
from minivae.models.ials import IALS
from minivae.models.multdae import MultDAE
from minivae.models.multvae import MultVAE
from minivae.models.popularity import Popularity
from minivae.models.recvae import RecVAE
from minivae.models.saved import load_model, save_model
from minivae.models.vae import VAE

__all__ = ["EASE", "IALS", "VAE", "HVamp", "MultDAE", "MultVAE", "Popularity", "RecVAE", "load_model", "save_model"]
