"""`python -m clairgen` is the command line."""

from clairgen.cli.app import main

main()
