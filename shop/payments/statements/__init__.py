"""Bank statements: files read, lines kept once, transfers found in them."""
