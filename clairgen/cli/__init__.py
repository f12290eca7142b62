"""The command line: one file a command. A command parses, loads, makes one call and prints."""
