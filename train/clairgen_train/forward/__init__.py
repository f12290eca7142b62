"""A forward pass for batches of pairs: packed without padding, shared prefixes computed once, only answers scored."""

from clairgen_train.forward.install import install_shared_forward

__all__ = ["install_shared_forward"]
