"""A forward for batches of pairs that packs without padding, computes shared prefixes once and scores answers alone."""

from clairgen_train.forward.install import install_shared_forward

__all__ = ["install_shared_forward"]
