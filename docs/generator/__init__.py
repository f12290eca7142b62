"""The parts of the documentation that are read from the code: keys, commands, the Python API, tables and columns."""
