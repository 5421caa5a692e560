"""The command line, with one module per command. Only this package prints and exits."""
