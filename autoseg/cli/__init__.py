"""The command line: arguments come in, calls of the library and messages go out. No logic of its own."""
