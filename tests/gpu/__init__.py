"""What can only be checked on a CUDA card: `make gpu`."""
